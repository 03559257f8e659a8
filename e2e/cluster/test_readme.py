"""The quick start of README.md does what it says, word for word."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from controller.version import __version__
from e2e.cluster.provider import Cluster, tool
from e2e.cluster.quickstart import README, commands
from e2e.cluster.release import Shared


def test_the_quick_start_names_the_image_that_make_builds() -> None:
    """What makes a cluster of kind is run by the provider `kind`."""
    (block,) = commands(README.read_text(), "kind")
    assert f"IMAGE=headrace:{__version__}\n" in block


def test_the_quick_start_in_a_cluster(cluster: Cluster, shared: Shared) -> None:
    """All blocks in one shell. What comes before them (a cluster of kind, an image in it) is the provider's part."""
    shared.end(remove=True)
    cluster.kubectl("delete", "namespace", "headrace", "--ignore-not-found", timeout=90)
    blocks = commands(README.read_text(), "cluster")
    assert len(blocks) >= 3, "README.md has lost its marks"
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([*(str(Path(tool(name)).parent) for name in ("kubectl", "helm")), os.environ["PATH"]]),
        "KUBECONFIG": str(cluster.kubeconfig),
        "IMAGE": cluster.images.headrace,
    }
    try:
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", "\n".join(blocks)],
            cwd=README.parent, env=environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "Directory listing for /" in done.stdout
    finally:
        tidy_up(cluster)


def tidy_up(cluster: Cluster) -> None:
    """Also after a quick start that stopped halfway. Its pods do not heed SIGTERM."""
    cluster.kubectl("delete", "ingress,service,deployment", "hello", "--ignore-not-found")
    cluster.helm("uninstall", "headrace", "--namespace", "headrace", "--ignore-not-found")
    for which in (("--selector=app=hello",), ("--all", "--namespace=headrace")):
        cluster.kubectl("delete", "pods", *which, "--grace-period=1", "--ignore-not-found")
    cluster.kubectl("delete", "namespace", "headrace", "--ignore-not-found", timeout=90)
