"""`make image`, `make sbom`, and the images of the tests.

    python -m e2e.images              build the images of the tests if need be, print the path of their archive
    python -m e2e.images image        build headrace:VERSION
    python -m e2e.images sbom         write dist/headrace-VERSION.cdx.json

The last two take nginx from its official image. Where no docker engine runs one is started for the time of the build;
it reaches no registry of images, so nginx then comes from the Python package, and the image is packed into
dist/headrace-VERSION.tar. `--nginx` decides otherwise; what follows `--` goes to `docker build`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from e2e.images.build import ensure_images
from e2e.images.engine import EngineUnavailable, engine
from e2e.images.release import build_image, build_sbom


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.images", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("tests", "image", "sbom"), default="tests")
    parser.add_argument("--nginx", choices=("image", "wheel"), help="where nginx is from")
    parser.add_argument("more", nargs="*", metavar="ARGUMENT", help="for docker build, after --")
    options = parser.parse_args(arguments)
    try:
        print(_do(options.what, options.nginx, options.more))
    except EngineUnavailable as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _do(what: str, nginx: str | None, more: Sequence[str]) -> object:
    if what == "tests":
        return ensure_images().archive
    with engine() as docker:
        source = nginx or ("wheel" if docker.private else "image")
        return build_image(docker, source, more) if what == "image" else build_sbom(docker, source, more=more)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
