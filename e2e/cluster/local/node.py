"""The node itself, inside the frame: starts every program, says when it is ready, takes commands.

Guarantees: when the file `ready` appears, the images are there, the node is Ready, and Services
answer, the API server's own included. All programs are children of one thread and die with it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from e2e.cluster.local import files
from e2e.cluster.local.layout import CONTAINERD_SOCKET, NODE_ADDRESS, NODE_NAME, Layout
from e2e.controlplane import build
from e2e.controlplane.cluster import ControlPlane, ControlPlaneFailed
from e2e.controlplane.kubeconfig import certificate_user, write_kubeconfig
from e2e.controlplane.processes import Program

_START_SECONDS = 90.0
_POLL_SECONDS = 0.05
_KUBERNETES_SERVICE = ("10.96.0.1", 443)
_NODE_CONTROL_PLANE = (
    "--bind-address=0.0.0.0",
    f"--advertise-address={NODE_ADDRESS}",
    "--endpoint-reconciler-type=lease",
    "--authorization-mode=Node",  # together with RBAC, which is there already
    "--enable-admission-plugins=NodeRestriction",
    "--kubelet-preferred-address-types=InternalIP",
)


class NodeFailed(Exception):
    """A program of the node ended, or was not ready in time; carries its last output."""


def run(layout: Layout, sandbox_image: str, archive: str) -> None:
    """Run the node, with the images of `archive`, until the process is killed."""
    folder = layout.folder / "node"
    folder.mkdir()
    containerd = _start_containerd(layout, folder, sandbox_image)
    _await("containerd", Path(CONTAINERD_SOCKET).exists, containerd)
    loading = _start_loading(layout, archive)
    with ControlPlane(
        layout.control_plane,
        controllers=("*",),
        apiserver_flags=_NODE_CONTROL_PLANE,
        addresses=(NODE_ADDRESS,),
    ) as control_plane:
        node = Node(layout, folder, control_plane)
        node.start()
        if loading.wait(_START_SECONDS):
            raise NodeFailed(f"{archive} was not loaded, see {layout.logs}")
        node.await_ready()
        node.serve()


class Node:
    """What runs beside the control plane, and the commands to it."""

    def __init__(self, layout: Layout, folder: Path, control_plane: ControlPlane) -> None:
        self._layout = layout
        self._folder = folder
        self._control_plane = control_plane
        self._bin = build.binaries(build.NODE)
        self._proxy: Program | None = None
        self._commands: Mapping[str, Callable[[], None]] = {
            "start-kube-proxy": self.start_kube_proxy,
            "stop-kube-proxy": self.stop_kube_proxy,
            "restart-apiserver": self.restart_apiserver,
        }

    def start(self) -> None:
        """Start scheduler, kubelet and kube-proxy."""
        scheduler = self._control_plane.client_kubeconfig("system:kube-scheduler")
        flags = [f"--kubeconfig={scheduler}", "--leader-elect=false", "--secure-port=0"]
        self._scheduler = self._program("kube-scheduler", flags)
        self._kubelet = self._program("kubelet", self._kubelet_flags())
        self.start_kube_proxy()
        self._write_kubeconfig()

    def await_ready(self) -> None:
        """Return when pods can run and Services answer; then say so."""
        _await("kubelet", self._is_ready, self._kubelet)
        _await("kube-proxy", lambda: _connects(*_KUBERNETES_SERVICE), self._proxy)
        self._layout.ready.touch()

    def serve(self) -> None:
        """Take commands, one connection each: a name, answered by the empty string or an error."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._layout.control))
            listener.listen()
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(self._obey(connection.recv(1024).decode()).encode())

    def start_kube_proxy(self) -> None:
        """Start kube-proxy, unless it runs."""
        if self._proxy and self._proxy.running:
            return
        kubeconfig = self._control_plane.client_kubeconfig("system:kube-proxy")
        configuration = self._write("kube-proxy.json", files.kube_proxy(kubeconfig))
        self._proxy = self._program("kube-proxy", [f"--config={configuration}"])

    def stop_kube_proxy(self) -> None:
        """End kube-proxy; the rules it made stay, and grow old."""
        if self._proxy:
            self._proxy.stop()

    def restart_apiserver(self) -> None:
        """End the API server and start it again; return when it is ready."""
        self._control_plane.stop_apiserver()
        self._control_plane.start_apiserver()

    def _obey(self, command: str) -> str:
        try:
            self._commands[command]()
        except (KeyError, OSError, ControlPlaneFailed) as problem:
            return repr(problem)
        return ""

    def _kubelet_flags(self) -> list[str]:
        authority = self._control_plane.authority
        serving = authority.server("kubelet", [NODE_NAME], [NODE_ADDRESS])
        resolver = self._write("resolv.conf", files.resolver())
        configuration = self._write("kubelet.json", files.kubelet(authority.certificate, serving, resolver))
        kubeconfig = self._control_plane.client_kubeconfig(f"system:node:{NODE_NAME}", ["system:nodes"])
        return files.kubelet_flags(configuration, kubeconfig)

    def _write_kubeconfig(self) -> None:
        authority = self._control_plane.authority
        user = certificate_user(authority.client("cluster-admin", ["system:masters"]))
        server = self._control_plane.url.replace("127.0.0.1", NODE_ADDRESS)
        write_kubeconfig(self._layout.kubeconfig, server, authority.certificate, user)

    def _is_ready(self) -> bool:
        nodes = json.loads(self._control_plane.kubectl("get", "nodes", "--output=json"))["items"]
        conditions = [each for node in nodes for each in node["status"].get("conditions", ())]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _program(self, name: str, flags: Sequence[str]) -> Program:
        return Program([str(self._bin / name), *flags], self._layout.logs / f"{name}.log")

    def _write(self, name: str, content: str) -> Path:
        path = self._folder / name
        path.write_text(content)
        return path


def _start_containerd(layout: Layout, folder: Path, sandbox_image: str) -> Program:
    network = folder / "network"
    network.mkdir()
    (network / "10-pods.conflist").write_text(files.pod_network())
    configuration = folder / "containerd.toml"
    configuration.write_text(files.containerd(network, sandbox_image))
    return Program(["containerd", f"--config={configuration}"], layout.logs / "containerd.log")


def _start_loading(layout: Layout, archive: str) -> subprocess.Popen[bytes]:
    command = ["ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", "images", "import", archive]
    with (layout.logs / "images.log").open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _await(name: str, condition: Callable[[], bool], program: Program | None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if program is None or not program.running or time.monotonic() > deadline:
            raise NodeFailed(f"{name} did not become ready\n{program.log_tail() if program else ''}")
        time.sleep(_POLL_SECONDS)
