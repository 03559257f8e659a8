"""A cluster by docker and kind, as on a contributor's laptop; both commands must be on PATH."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.existing import first_address
from e2e.cluster.provider import ReachedByKubeconfig, run
from e2e.cluster.quickstart import README, commands
from e2e.images import Images, ensure_images

_NAME = "headrace-e2e"
_CREATE_SECONDS = 900
_LOAD_SECONDS = 180


class Kind(ReachedByKubeconfig):
    """One node, which is a container."""

    name = "kind"

    @property
    def node_address(self) -> str:
        """The container's address; elsewhere than on Linux it cannot be reached, but ports 80 and 443 are mapped."""
        return first_address(self) if platform.system() == "Linux" else "127.0.0.1"


@contextmanager
def cluster() -> Iterator[Kind]:
    """A cluster of our own, deleted at the end."""
    images = ensure_images()
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        try:
            yield _created(kubeconfig, images)
        finally:
            _kind("delete", "cluster", f"--kubeconfig={kubeconfig}", timeout=_LOAD_SECONDS)


def _created(kubeconfig: Path, images: Images) -> Kind:
    """As README.md says, word for word; then what only the tests need."""
    # The names that kind and kubectl would take otherwise are the user's.
    environment = {**os.environ, "KIND_CLUSTER_NAME": _NAME, "KUBECONFIG": str(kubeconfig)}
    quick_start = ["bash", "-euxo", "pipefail", "-c", "\n".join(commands(README.read_text(), "kind"))]
    subprocess.run(quick_start, cwd=README.parent, env=environment, check=True, timeout=_CREATE_SECONDS)
    _kind("load", "image-archive", str(images.archive), timeout=_LOAD_SECONDS)
    return Kind(kubeconfig, images)


def _kind(*arguments: str, timeout: float) -> None:
    run(["kind", *arguments, f"--name={_NAME}"], timeout=timeout)
