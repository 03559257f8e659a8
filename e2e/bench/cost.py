"""What processes have used, counted by the kernel: processor time with that of dead workers, memory, files.

A worker that a reload has ended is waited for by its master, whose account then has it; so nothing that was spent is
lost, and nothing counts twice. Memory is the proportional set size: pages that processes share are counted once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.dataplane.procfs import children_of, old_workers_of

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time so far: of the controller, of what it starts to try a configuration, and of nginx."""

    controller: float
    tried: float
    nginx: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.controller - other.controller, self.tried - other.tried, self.nginx - other.nginx)

    def __mul__(self, factor: float) -> Cost:
        return Cost(self.controller * factor, self.tried * factor, self.nginx * factor)

    @property
    def all(self) -> float:
        return self.controller + self.tried + self.nginx


@dataclass(frozen=True)
class Program:
    """A data plane with or without a controller; `controller` is 0 for bare nginx."""

    master: int
    controller: int = 0

    @property
    def proxy(self) -> tuple[int, ...]:
        return (self.master, *(child.pid for child in children_of(self.master)))

    def cost(self) -> Cost:
        nginx = sum(sum(_seconds(pid)) for pid in self.proxy)
        if not self.controller:
            return Cost(0.0, 0.0, nginx)
        own, waited = _seconds(self.controller)
        trying = (child.pid for child in children_of(self.controller) if child.pid != self.master)
        return Cost(own, waited + sum(sum(_seconds(pid)) for pid in trying), nginx)

    def memory(self) -> tuple[float, float]:
        """Bytes of the controller and of all of nginx."""
        return proportional((self.controller,) if self.controller else ()), proportional(self.proxy)

    def old_workers(self) -> int:
        return len(old_workers_of(self.master))


def proportional(pids: Iterable[int]) -> float:
    """Bytes (proc(5), `smaps_rollup`); a process that ends meanwhile has none."""
    total = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()[0])
    return total * 1024.0


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _seconds(pid: int) -> tuple[float, float]:
    """Its own time and that of children that it has waited for, in steps of 10 ms (proc(5), `stat`)."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user, system, waited_user, waited_system = (int(field) / _TICKS for field in fields[11:15])
        return user + system, waited_user + waited_system
    return 0.0, 0.0
