"""The Debian packages that a node needs, installed where they are missing.

Why here and not in a list for the reader: the same command must pass on a bare machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.cluster.local.layout import CNI_PROGRAMS

# What must be found -> the package that brings it.
_NEEDED = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    f"{CNI_PROGRAMS}/ptp": "containernetworking-plugins",
    f"{CNI_PROGRAMS}/portmap": "containernetworking-plugins",
}


class PackagesMissing(Exception):
    """A program is missing and could not be installed."""


def ensure_packages() -> None:
    """Install what is missing; does nothing, and needs no network, when all is there."""
    packages = sorted({package for program, package in _NEEDED.items() if not _found(program)})
    if not packages:
        return
    print(f"e2e cluster: installing {', '.join(packages)}", file=sys.stderr, flush=True)
    try:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)
    except (OSError, subprocess.CalledProcessError) as problem:
        output = getattr(problem, "stdout", "")
        raise PackagesMissing(f"please install {', '.join(packages)}: {problem}\n{output}") from problem


def _found(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program) is not None


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", *arguments]
    subprocess.run(
        command,
        check=True,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
