"""Builds the images of the tests, and packs them into one archive that a node can load.

Guarantees: the archive is from just these sources; asking again costs milliseconds and needs no engine as long as no
source has changed; builds that run at the same time wait for one another; a finished archive is never seen
half-written.
"""

from __future__ import annotations

import fcntl
import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from e2e.controlplane.build import cache_root
from e2e.images.base import SUITE, base_image
from e2e.images.engine import Engine, engine
from e2e.images.registries import build_arguments

PROJECT = Path(__file__).parents[2]
OWN = Path(__file__).parent
APP = PROJECT / "e2e" / "cluster" / "app"

HEADRACE = "headrace:e2e"
APPLICATION = "headrace-e2e-app:e2e"
PAUSE = "headrace-e2e-pause:e2e"

SOURCES = (
    *("Dockerfile", ".dockerignore", "pyproject.toml", "LICENSE", "image", "controller", "nginx-templates"),
    *("e2e/images/app", "e2e/images/pause", "e2e/cluster/app"),
)
"""What the images are made of, from the top of the project."""

CACHE = "3GB"
"""What a private engine may keep of past builds: the packages, and a few builds of our sources."""

LABEL = "dev.headrace.sources"
"""Says in the image under test which sources it is from."""


@dataclass(frozen=True)
class Images:
    """Names of images, and `archive`: a tar as of `docker save` with all of them."""

    headrace: str
    app: str
    pause: str
    archive: Path


def ensure_images(docker: Engine | None = None) -> Images:
    """The images from the present sources, built if need be, in `docker` if given. Raises `EngineUnavailable`."""
    sources = _digest()
    archive = cache_root() / "images" / f"{sources}.tar"
    if not archive.exists():
        with nullcontext(docker) if docker else engine() as found:
            _build_once(found, sources, archive)
    return Images(HEADRACE, APPLICATION, PAUSE, archive)


def load_images(docker: Engine) -> Images:
    """The images, and this engine has them. Needs no network where they were built before."""
    images = ensure_images(docker)
    if not docker.has_image(HEADRACE) or docker.label(HEADRACE, LABEL) != images.archive.stem:
        docker.run("load", "--quiet", "--input", str(images.archive))
    return images


def _build_once(docker: Engine, sources: str, archive: Path) -> None:
    """Of several that ask at a time one builds. Who waits here has the engine already: locks are taken in one order."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with (archive.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            build_all(docker, sources)
            _save(docker, archive)
            _tidy(docker)


def build_all(docker: Engine, sources: str) -> None:
    """Build the three images in this engine; what it has built before from the same sources costs a second."""
    started = time.monotonic()
    base = base_image(docker)
    wheel = ["--build-arg", f"BASE_IMAGE={base}", "--build-arg", "NGINX=wheel"]
    _build(docker, PROJECT, HEADRACE, *wheel, "--label", f"{LABEL}={sources}")
    _build(docker, OWN / "pause", PAUSE, "--build-arg", f"BASE_IMAGE={base}")
    _build(docker, APP, APPLICATION, "--file", str(OWN / "app" / "Dockerfile"))
    print(f"e2e images: built in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def _build(docker: Engine, context: Path, tag: str, *more: str) -> None:
    with build_arguments() as arguments:
        docker.run("build", "--quiet", "--tag", tag, *arguments, *more, str(context))


def _save(docker: Engine, archive: Path) -> None:
    unfinished = archive.with_suffix(".unfinished")
    docker.run("save", "--output", str(unfinished), HEADRACE, APPLICATION, PAUSE)
    for outdated in archive.parent.glob("*.tar"):
        outdated.unlink()
    unfinished.rename(archive)


def _tidy(docker: Engine) -> None:
    """Keep the cache folder from growing with each build; other people's engines are theirs to tidy."""
    if docker.private:
        docker.run("image", "prune", "--force")
        docker.run("builder", "prune", "--force", "--keep-storage", CACHE)


def _digest() -> str:
    digest = hashlib.sha256(SUITE.encode())
    for path in _sources():
        digest.update(f"{path.relative_to(PROJECT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    for source in SOURCES:
        place = PROJECT / source
        for path in sorted(place.rglob("*")) if place.is_dir() else (place,):
            within = path.relative_to(PROJECT).parts
            if path.is_file() and "__pycache__" not in within and within[:2] != ("controller", "tests"):
                yield path
