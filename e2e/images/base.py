"""The Debian that the images of the tests start from.

An engine that reaches a registry has `debian:trixie-slim`; where none is reachable it is made by debootstrap from
Debian's packages alone. Both are the distribution of the official nginx image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from e2e.images.engine import Engine, EngineUnavailable, install

SUITE = "trixie"
PUBLIC = f"debian:{SUITE}-slim"
OWN = f"headrace-e2e-base:{SUITE}"
MIRROR = "http://deb.debian.org/debian"


def base_image(docker: Engine) -> str:
    """The name of an image that the engine has. Raises `EngineUnavailable`."""
    for name in (OWN, PUBLIC):
        if docker.has_image(name):
            return name
    return _own_image(docker) if docker.private else _pulled(docker)


def _pulled(docker: Engine) -> str:
    try:
        docker.run("pull", "--quiet", PUBLIC)
    except EngineUnavailable:
        return _own_image(docker)
    return PUBLIC


def _own_image(docker: Engine) -> str:
    """`$HEADRACE_E2E_DEBIAN_MIRROR` names another mirror."""
    if os.geteuid() != 0:
        raise EngineUnavailable(f"{PUBLIC} cannot be pulled, and debootstrap needs root")
    if not shutil.which("debootstrap"):
        install("debootstrap", ["debootstrap"])
    with tempfile.TemporaryDirectory(prefix="headrace-base-") as folder:
        root = Path(folder) / "root"
        mirror = os.environ.get("HEADRACE_E2E_DEBIAN_MIRROR", MIRROR)
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", SUITE, str(root), mirror], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise EngineUnavailable(f"debootstrap ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr}")
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packed:
            assert packed.stdout is not None
            docker.run("import", "-", OWN, stdin=packed.stdout.fileno())
    return OWN
