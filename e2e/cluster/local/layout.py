"""Names, addresses and paths of the local cluster, which inside and outside have to agree on.

There is one such cluster on a machine at a time: two would want the same addresses. The ranges are
private ones that clouds and home routers seldom hand out; they are routed only while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# One word for the cgroup, the interface on this machine's side (at most 15 characters) and the node.
NAME = "headrace-e2e"
NODE_NAME = "headrace-e2e-node"

HOST_ADDRESS = "10.232.0.1"
NODE_ADDRESS = "10.232.0.2"
SECOND_ADDRESS = "10.232.0.3"
PREFIX_LENGTH = 24
POD_RANGE = "10.233.0.0/16"

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_PROGRAMS = "/usr/lib/cni"


@dataclass(frozen=True)
class Layout:
    """Where a cluster keeps what both sides read; all of it goes with the cluster."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by every process of the node's frame: who can take it knows that none is left."""
        return self.folder.with_suffix(".lock")

    @property
    def state(self) -> Path:
        """What to remove after a crash: written before it is made."""
        return self.folder / "state.json"

    @property
    def ready(self) -> Path:
        """Exists when the node takes pods."""
        return self.folder / "ready"

    @property
    def control(self) -> Path:
        """The socket that takes commands."""
        return self.folder / "control"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for this machine's side."""
        return self.folder / "kubeconfig"

    @property
    def loaded(self) -> Path:
        """Says which image archive the node has."""
        return self.folder / "images.json"

    @property
    def logs(self) -> Path:
        """The output of every program of the node."""
        return self.folder / "logs"

    @property
    def node_log(self) -> Path:
        """The output of the process that starts all others."""
        return self.logs / "node.log"

    @property
    def control_plane(self) -> Path:
        """What `ControlPlane` writes: data, keys, its own logs."""
        return self.folder / "control-plane"


def default_layout() -> Layout:
    """The one local cluster of this machine, also after another checkout has left it behind."""
    return Layout(Path("/var/tmp") / NAME)
