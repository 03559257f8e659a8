"""What the figures were measured on: without it no number means anything to anybody else."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from controller.dataplane.binary import find_nginx


@dataclass(frozen=True)
class Machine:
    processor: str
    cores: int
    memory_gib: float
    kernel: str
    nginx: str
    python: str


def described() -> Machine:
    """This machine; nothing that names it."""
    return Machine(
        processor=_field("/proc/cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        kernel=f"{platform.system()} {re.sub(r'-.*', '', platform.release())} {platform.machine()}",
        nginx=_nginx(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def _field(path: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", Path(path).read_text(), re.MULTILINE)
    return found[1] if found else "unknown 0"


def _nginx() -> str:
    """Version, compiler, TLS library and what the build was optimised for."""
    said = subprocess.run([find_nginx(), "-V"], capture_output=True, text=True, check=True).stderr
    version, built, tls = (re.search(p, said) for p in (r"nginx/(\S+)", r"built by (.*)", r"built with (\S+ \S+)"))
    flags = " ".join(sorted(set(re.findall(r"-O\w|--with-debug", said))))
    return ", ".join(m[1].strip() for m in (version, built, tls) if m) + (f", {flags}" if flags else "")
