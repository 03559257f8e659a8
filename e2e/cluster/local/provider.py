"""The local cluster for the tests: started for the session, or the one that `up` has left running."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.cluster.local import frame
from e2e.cluster.local.layout import CONTAINERD_SOCKET, NODE_ADDRESS, SECOND_ADDRESS, Layout, default_layout
from e2e.cluster.local.packages import ensure_packages
from e2e.cluster.provider import ReachedByKubeconfig
from e2e.controlplane import build
from e2e.images import Images, ensure_images

_START_SECONDS = 120.0
_COMMAND_SECONDS = 120.0
_POLL_SECONDS = 0.05
_CONTAINER_ID = re.compile(r"containerd://([0-9a-f]{64})")


class ClusterFailed(Exception):
    """The cluster did not start, or refused a command; carries the ends of its logs."""


class Local(ReachedByKubeconfig):
    """A node on this machine, with what only such a one can do; see `e2e.cluster.provider.LocalCluster`."""

    name = "local"
    node_address = NODE_ADDRESS
    second_address = SECOND_ADDRESS

    def __init__(self, layout: Layout, images: Images) -> None:
        super().__init__(layout.kubeconfig, images)
        self._layout = layout

    def stop_kube_proxy(self) -> None:
        """See `LocalCluster`."""
        self._command("stop-kube-proxy")

    def start_kube_proxy(self) -> None:
        """See `LocalCluster`."""
        self._command("start-kube-proxy")

    def restart_apiserver(self) -> None:
        """See `LocalCluster`."""
        self._command("restart-apiserver")

    def container_pids(self, namespace: str, pod: str) -> list[int]:
        """See `LocalCluster`."""
        found = self.kubectl("get", "pod", pod, f"--namespace={namespace}", "--output=json")
        statuses = json.loads(found)["status"].get("containerStatuses", ())
        identities = {match[1] for each in statuses if (match := _CONTAINER_ID.match(each.get("containerID", "")))}
        return [process for identity in sorted(identities) for process in _processes_of(identity)]

    def _command(self, name: str) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_COMMAND_SECONDS)
            connection.connect(str(self._layout.control))
            connection.sendall(name.encode())
            with connection.makefile() as answer:
                if refusal := answer.read():
                    raise ClusterFailed(f"{name}: {refusal}")


@contextmanager
def cluster() -> Iterator[Local]:
    """The local cluster; ended at the end, unless it was there before."""
    layout = default_layout()
    images = prepare()
    started = start(layout, images, detached=False)
    try:
        yield Local(layout, images)
    finally:
        if started:
            started.kill()
            started.wait()
            frame.close_frame(layout)


def start(layout: Layout, images: Images, *, detached: bool) -> subprocess.Popen[bytes] | None:
    """Start the cluster, or give the one that runs these images; return the process to end, if it is ours."""
    if frame.is_running(layout):
        _await_ready(layout, lambda: frame.is_running(layout))
        load(layout, images.archive)
        return None
    loaded = _identity(images.archive)
    process = frame.open_frame(layout, (f"docker.io/library/{images.pause}", str(images.archive)), detached=detached)
    try:
        _await_ready(layout, lambda: process.poll() is None)
        layout.loaded.write_text(loaded)
    except BaseException:
        process.kill()
        process.wait()
        frame.close_frame(layout)
        raise
    return process


def prepare() -> Images:
    """Get all that a start needs and that can take minutes the first time; needs the network."""
    ensure_packages()
    build.binaries((*build.CONTROL_PLANE, *build.NODE))
    build.binaries(("helm",))
    return ensure_images()


def load(layout: Layout, archive: Path) -> None:
    """Load an image archive into the running node, unless it was the last one."""
    if layout.loaded.exists() and layout.loaded.read_text() == _identity(archive):
        return
    command = ["ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", "images", "import", str(archive)]
    subprocess.run([*frame.enter_command(layout), *command], check=True, stdout=subprocess.DEVNULL)
    layout.loaded.write_text(_identity(archive))


def _identity(archive: Path) -> str:
    status = archive.stat()
    return f"{archive} {status.st_size} {status.st_mtime_ns}"


def _await_ready(layout: Layout, alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not layout.ready.exists():
        if not alive() or time.monotonic() > deadline:
            raise ClusterFailed(_log_tail(layout))
        time.sleep(_POLL_SECONDS)


def _log_tail(layout: Layout) -> str:
    with suppress(FileNotFoundError):
        return layout.node_log.read_text(errors="replace")[-8000:]
    return "the cluster ended before it wrote anything"


def _processes_of(container: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            if container in (folder / "cgroup").read_text():
                yield int(folder.name)
