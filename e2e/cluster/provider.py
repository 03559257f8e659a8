"""What a cluster is to the tests, whoever provides it.

`HEADRACE_E2E_PROVIDER` chooses: `local` (the default; a node on this machine), `kind`, or `existing` ($KUBECONFIG).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from e2e.controlplane import build
from e2e.images import Images


class CommandFailed(Exception):
    """kubectl or helm ended with an error; carries what it wrote to stderr."""


class Cluster(Protocol):
    """A cluster with at least one node that runs pods; what tests make in it is theirs to remove."""

    @property
    def name(self) -> str:
        """`local`, `kind` or `existing`."""

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""

    @property
    def node_address(self) -> str:
        """Where host ports, the host network and node ports answer, reachable from this process."""

    @property
    def images(self) -> Images:
        """Names that pods may use with `imagePullPolicy: Never`."""

    @property
    def kubectl_command(self) -> Sequence[str]:
        """The words of a kubectl command for this cluster, to start it by oneself."""

    def kubectl(self, *args: str, input: str | None = None, timeout: float = 60) -> str:
        """Run kubectl, at most `timeout` seconds, and return its stdout. Raises CommandFailed."""

    def helm(self, *args: str, timeout: float = 120) -> str:
        """Run helm, at most `timeout` seconds, and return its stdout. Raises CommandFailed."""


class LocalCluster(Cluster, Protocol):
    """What only a node on this machine can do. Whoever stops a thing starts it again."""

    @property
    def second_address(self) -> str:
        """Another address of the node."""

    def stop_kube_proxy(self) -> None:
        """End kube-proxy: from now on Services are not followed; the rules it made stay."""

    def start_kube_proxy(self) -> None:
        """Start kube-proxy, unless it runs."""

    def restart_apiserver(self) -> None:
        """End the API server and start it again; return when it is ready."""

    def container_pids(self, namespace: str, pod: str) -> list[int]:
        """Ids, in this process's view, of all processes of the pod's containers."""


class ReachedByKubeconfig:
    """kubectl and helm for a cluster that a kubeconfig leads to."""

    def __init__(self, kubeconfig: Path, images: Images) -> None:
        self.kubeconfig = kubeconfig
        self.images = images

    @property
    def kubectl_command(self) -> Sequence[str]:
        """See `Cluster`."""
        return (tool("kubectl"), f"--kubeconfig={self.kubeconfig}")

    def kubectl(self, *args: str, input: str | None = None, timeout: float = 60) -> str:
        """See `Cluster`."""
        return run([*self.kubectl_command, *args], input=input, timeout=timeout)

    def helm(self, *args: str, timeout: float = 120) -> str:
        """See `Cluster`."""
        return run([tool("helm"), *args, f"--kubeconfig={self.kubeconfig}"], timeout=timeout)


def run(command: Sequence[str], *, input: str | None = None, timeout: float) -> str:
    """Run a command to its end and return its stdout. Raises CommandFailed."""
    words = " ".join([Path(command[0]).name, *command[1:]])
    try:
        done = subprocess.run(command, input=input, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(f"{words}: not done in {timeout:.0f} s") from late
    if done.returncode:
        raise CommandFailed(f"{words}: {done.stderr.strip()}")
    return done.stdout


def tool(name: str) -> str:
    """Return the path of kubectl or helm: for the local cluster ours, else that of PATH, before one is built."""
    ours = chosen_provider() == "local" and name in build.PACKAGES
    if not ours and (found := shutil.which(name)):
        return found
    return str(build.binaries((name,)) / name)


def chosen_provider() -> str:
    """Return what `HEADRACE_E2E_PROVIDER` says."""
    return os.environ.get("HEADRACE_E2E_PROVIDER", "local")
