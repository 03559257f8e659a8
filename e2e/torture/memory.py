"""What a running controller and its nginx take: memory, processes, descriptors.

Memory is the proportional set size (Linux, `smaps_rollup`): pages that processes share count once in all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from controller.tests.live.headrace import Headrace
from e2e.torture.faults import controller_of, master_of


@dataclass(frozen=True, slots=True)
class Taken:
    """MiB of the controller, and of the master with all its workers."""

    controller: float
    nginx: float

    def __str__(self) -> str:
        return f"controller {self.controller:.0f} MiB, nginx {self.nginx:.0f} MiB"


@dataclass(frozen=True, slots=True)
class Identity:
    """Processes that an attack must leave alive. A reload makes new workers; the master and the controller stay."""

    controller: int
    master: int


def taken(headrace: Headrace) -> Taken:
    """Now. A process that ends meanwhile counts nothing."""
    master = master_of(headrace)
    return Taken(_mib(controller_of(headrace)), sum(_mib(pid) for pid in (master, *_children(master))))


def identity(headrace: Headrace) -> Identity:
    return Identity(controller_of(headrace), master_of(headrace))


def crashes(headrace: Headrace) -> list[str]:
    """Lines of the log that tell of a worker that crashed, or of a fault of ours."""
    bad = ("exited on signal", "exited with code 2", "[emerg]", "Traceback", "internal error")
    lines = headrace.log.read_text(errors="replace").splitlines()
    return [line for line in lines if any(word in line for word in bad)]


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


class Peak:
    """The most that was taken while the block ran, looked at four times a second."""

    def __init__(self, headrace: Headrace) -> None:
        self._headrace = headrace
        self._over = threading.Event()
        self.before = self.most = taken(headrace)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            self._look()

    def _look(self) -> None:
        with suppress(OSError, AssertionError):
            now = taken(self._headrace)
            self.most = Taken(max(self.most.controller, now.controller), max(self.most.nginx, now.nginx))

    @property
    def grown(self) -> Taken:
        return Taken(self.most.controller - self.before.controller, self.most.nginx - self.before.nginx)


@contextmanager
def undisturbed(headrace: Headrace) -> Iterator[None]:
    """Fails where the block crashed a worker or restarted nginx or the controller."""
    who, earlier = identity(headrace), len(crashes(headrace))
    yield
    assert identity(headrace) == who, headrace.log.read_text(errors="replace")[-3000:]
    assert not crashes(headrace)[earlier:], crashes(headrace)[earlier:][:3]


def _mib(pid: int) -> float:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) / 1024
    return 0.0


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
