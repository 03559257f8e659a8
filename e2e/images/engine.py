"""A docker engine for the tests: the one that runs, else one of our own for as long as it is needed.

Guarantees: a running engine is used as it is, and nothing of it is changed but the images of these tests. A private one
keeps its data in the cache folder, has a socket of its own, makes no bridge and no firewall rule, mounts only inside a
mount namespace of its own, and has ended when the context is left; it ends with the tests even when these are killed.
Two test runs never share it: the second waits.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from e2e.controlplane.build import cache_root
from e2e.controlplane.processes import Program

CONTROL_GROUP = "headrace-e2e-images"
_PACKAGES = ("docker.io", "docker-cli", "docker-buildx")
_PATIENCE = 60.0


class EngineUnavailable(Exception):
    """No docker engine runs, and none could be started; or it refused what it was asked."""


@dataclass(frozen=True)
class Engine:
    """A docker engine. `private`: started by us, so it reaches no registry of images as a matter of course."""

    client: str
    private: bool
    environment: Mapping[str, str] = field(repr=False)

    def run(self, *arguments: str, stdin: int = subprocess.DEVNULL, cwd: Path | None = None) -> str:
        """Run one docker command; returns what it printed. Raises `EngineUnavailable` with its complaint."""
        done = subprocess.run(
            [self.client, *arguments],
            cwd=cwd,
            env=dict(self.environment),
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineUnavailable(
                f"docker {' '.join(arguments)}\nended with {done.returncode}:\n{done.stderr[-8000:]}"
            )
        return done.stdout

    def logs(self, container: str) -> str:
        """What a container wrote to both its streams."""
        command = [self.client, "logs", container]
        both = subprocess.run(
            command, env=dict(self.environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        return both.stdout

    def has_image(self, name: str) -> bool:
        """Whether there is an image of this name."""
        with suppress(EngineUnavailable):
            self.run("image", "inspect", name)
            return True
        return False

    def label(self, image: str, name: str) -> str:
        """A label of an image; empty where it has none. Raises `EngineUnavailable` where there is no such image."""
        return self.run("image", "inspect", "--format", f'{{{{index .Config.Labels "{name}"}}}}', image).strip()


@contextmanager
def engine() -> Iterator[Engine]:
    """The running engine, else a private one (root, Debian). Raises `EngineUnavailable`."""
    running = _running_engine()
    if running:
        yield running
        return
    if os.geteuid() != 0:
        raise EngineUnavailable("no docker engine answers; start one, or run this as root on Debian")
    home = cache_root() / "docker"
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _private_engine(home) as started:
            yield started


def _running_engine() -> Engine | None:
    client = shutil.which("docker")
    found = Engine(client, private=False, environment=_environment({})) if client else None
    return found if found and _answers(found) else None


@contextmanager
def _private_engine(home: Path) -> Iterator[Engine]:
    _install_engine()
    # Sockets live below the exec root, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="headrace-docker-") as folder:
        socket = f"unix://{folder}/docker.sock"
        program = Program(_command(home, Path(folder), socket), home / "dockerd.log")
        # The package's own client: another one that comes first in PATH may want a builder we do not have.
        client = next(path for path in ("/usr/bin/docker", shutil.which("docker") or "") if Path(path).exists())
        started = Engine(client, private=True, environment=_environment({"DOCKER_HOST": socket}))
        try:
            _await(started, program)
            yield started
        finally:
            program.stop(patience=30.0)
            _remove_control_groups()


def _command(home: Path, folder: Path, socket: str) -> Sequence[str]:
    places = ["--data-root", f"{home}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    return ["unshare", "--mount", "dockerd", "--host", socket, "--cgroup-parent", CONTROL_GROUP, *places, *network]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    # BuildKit without the plug-in buildx, where the client is old enough to have it built in.
    return {**os.environ, "DOCKER_BUILDKIT": "1", **more}


def _answers(found: Engine) -> bool:
    try:
        found.run("info")
    except (EngineUnavailable, OSError):
        return False
    return True


def _await(started: Engine, program: Program) -> None:
    until = time.monotonic() + _PATIENCE
    while not _answers(started):
        if not program.running or time.monotonic() > until:
            raise EngineUnavailable(f"dockerd does not come up:\n{program.log_tail()}")
        time.sleep(0.2)


def _install_engine() -> None:
    if shutil.which("dockerd") and Path("/usr/bin/docker").exists():
        return
    install("dockerd", _PACKAGES)


def install(what: str, packages: Sequence[str]) -> None:
    """Install those of the Debian packages that this release has. Raises `EngineUnavailable`."""
    if not shutil.which("apt-get"):
        raise EngineUnavailable(f"{what} is missing, and this is no Debian")
    subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=subprocess.DEVNULL)
    known = [name for name in packages if _known(name)]
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *known]
    done = subprocess.run(
        command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EngineUnavailable(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


def _known(package: str) -> bool:
    told = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
    return told.returncode == 0 and bool(told.stdout)


def _remove_control_groups() -> None:
    """Empty ones that the engine leaves behind, in either version of control groups."""
    root = Path("/sys/fs/cgroup")
    for group in (*root.glob(CONTROL_GROUP), *root.glob(f"*/{CONTROL_GROUP}")):
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
