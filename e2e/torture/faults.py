"""Ways to break things, each undone when its block ends."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from controller.tests.live.headrace import Headrace
from e2e.torture.checker import Window


def mostly(fast: Sequence[str], every: Sequence[str]) -> list[object]:
    """Parameters of a test: those in `fast` also for continuous integration, all others where there is time."""
    return [one if one in fast else pytest.param(one, marks=pytest.mark.long) for one in every]


def controller_of(headrace: Headrace) -> int:
    assert headrace.process
    return headrace.process.pid


def master_of(headrace: Headrace) -> int:
    """0 while there is none."""
    with suppress(OSError, ValueError):
        return int((headrace.state / "nginx.pid").read_text())
    return 0


def workers_of(headrace: Headrace) -> list[int]:
    """Workers that accept; those that finish after a reload are left out."""
    master = master_of(headrace)
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return [int(pid) for pid in children if b"shutting down" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def kill_all(headrace: Headrace) -> None:
    """The controller, the master and all workers, as when the machine loses power. Their sockets stay behind."""
    master = master_of(headrace)
    headrace.stop(kill=True)
    children = Path(f"/proc/{master}/task/{master}/children")
    workers = children.read_text().split() if master and children.exists() else []
    for pid in (master, *map(int, workers)) if master else ():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def window(after: float = 0.0) -> Iterator[list[Window]]:
    """`with window(2.0) as stated:` fills the list when the block ends; `after` in seconds is added to its end."""
    stated: list[Window] = []
    begun = time.monotonic()
    try:
        yield stated
    finally:
        stated.append(Window(begun, time.monotonic() + after))


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """SIGSTOP, then SIGCONT."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def faulty(headrace: Headrace, text: str) -> Iterator[None]:
    """Run the controller as `faulty.py` for the block, armed; nginx is adopted on both sides of it.

    `struck` tells when it happened.
    """
    program = headrace.program
    headrace.stop(kill=True)
    headrace.program = ("-m", "e2e.torture.faulty", text)
    try:
        headrace.start()
        os.kill(controller_of(headrace), signal.SIGUSR2)
        yield
    finally:
        headrace.stop(kill=True)
        headrace.program = program
        headrace.start()


def struck(headrace: Headrace) -> float:
    """When the newest fault of `faulty.py` happened, on the monotonic clock; 0 for never."""
    found: list[str] = re.findall(r'^\{"fault": .*"at": ([\d.]+)', headrace.log.read_text(), re.MULTILINE)
    return float(found[-1]) if found else 0.0


def died(headrace: Headrace, within: float = 10.0) -> bool:
    """Whether the controller ends in that time."""
    assert headrace.process
    with suppress(subprocess.TimeoutExpired):
        headrace.process.wait(within)
        return True
    return False


@contextmanager
def small_disk(where: Path, *, size: str = "8m", inodes: int = 0) -> Iterator[Path]:
    """A tmpfs of its own below `where`; needs root."""
    where.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode=755" + (f",nr_inodes={inodes}" if inodes else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "torture", str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """No block is free on it."""
    ballast = disk / "ballast"
    _fill(ballast)
    try:
        yield
    finally:
        ballast.unlink()


def _fill(ballast: Path) -> None:
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 4096):
            pass


@contextmanager
def no_inodes(disk: Path) -> Iterator[None]:
    """No file can be made on it."""
    folder = disk / "many"
    folder.mkdir()
    made = 0
    try:
        with suppress(OSError):
            while True:
                (folder / str(made)).touch()
                made += 1
        yield
    finally:
        for number in range(made):
            (folder / str(number)).unlink()
        folder.rmdir()


@contextmanager
def few_files(pid: int, spare: int = 0) -> Iterator[None]:
    """The process may open no more than `spare` files beyond those it has open; new ones fail with EMFILE."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(number) for number in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
