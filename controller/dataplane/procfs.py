"""nginx's processes as /proc shows them (proc(5)).

nginx writes its role into its command line: the master adds its arguments, so that one of ours can be told by the
directories it was started with; workers add what they are doing. Our master leads its own session, and its
workers keep that session when the master is killed: that is how they are found again. Linux gives no
process a number that a living session still bears.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")

FILES_OF_ITS_OWN = 12
"""At most, of a worker without connections: its events and the sockets with which it asks for endpoints."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `title` is its command line; empty for a zombie. `started`: in clock ticks since the machine's."""

    pid: int
    parent: int
    session: int
    title: str
    started: int = 0

    def is_master(self, arguments: str) -> bool:
        """Whether it is an nginx master of ours: started with just these arguments, and leader of its session.

        Until its configuration is read a master still shows its bare command line.
        """
        return self.pid == self.session and self.title.endswith(f" {arguments}")

    @property
    def is_orphan_of_nginx(self) -> bool:
        """A worker whose master, the leader of its session, is gone."""
        return self.title.startswith(("nginx: worker process", "nginx: cache")) and self.parent != self.session

    @property
    def is_old_worker(self) -> bool:
        """A worker that a reload has retired and that still has something to finish."""
        return self.title.startswith("nginx: worker process is shutting down")

    @property
    def accepts(self) -> bool:
        """A worker that takes new connections."""
        return self.title.startswith("nginx: worker process") and not self.is_retiring

    @property
    def is_retiring(self) -> bool:
        """It has been told to quit: it accepts no more connections and finishes those it has."""
        return "is shutting down" in self.title or not self.title


def process(pid: int) -> Process | None:
    """None where it does not exist, or ends while we look."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        title = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The name in parentheses may hold anything; state, parent, group and session follow the last one.
    fields = stat.rpartition(")")[2].split()
    parent, session, started = (int(fields[place]) for place in (1, 3, 19))
    return Process(pid, parent, session, title.replace(b"\0", b" ").decode(errors="replace").rstrip(), started)


def masters(arguments: str) -> Iterator[Process]:
    """Masters of ours, whatever the pid file says: it may be missing, or from before a restart of the machine."""
    return (found for found in _processes() if found.is_master(arguments))


def orphans_of(session: int) -> Iterator[Process]:
    """Workers that outlived the master that led `session`."""
    return (found for found in _processes() if found.session == session and found.is_orphan_of_nginx)


def children_of(parent: int) -> tuple[Process, ...]:
    """Asked twice of the kernel, whose list may leave one out while another ends (proc(5), `children`)."""
    if not parent:
        return ()
    listed = _PROC / str(parent) / "task" / str(parent) / "children"
    try:
        pids = {int(pid) for _ in range(2) for pid in listed.read_text().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN, or no such process
        return tuple(found for found in _processes() if found.parent == parent)
    except ProcessLookupError:
        return ()
    return tuple(found for found in map(process, sorted(pids)) if found and found.parent == parent)


def old_workers_of(master: int) -> tuple[Process, ...]:
    """Workers of a master that finish what they have since a reload."""
    return tuple(found for found in children_of(master) if found.is_old_worker)


def accepting_workers_of(master: int) -> frozenset[int]:
    """Process ids of the workers of a master that take new connections."""
    return frozenset(found.pid for found in children_of(master) if found.accepts)


def has_done_its_signals(master: int) -> bool:
    """Whether a master has dealt with every signal it was sent and sleeps until the next one (proc(5), `wchan`).

    False also where the kernel does not say.
    """
    try:
        return "sigsuspend" in (_PROC / str(master) / "wchan").read_text()
    except OSError:
        return False


def has_new_workers(master: int, before: frozenset[int]) -> bool:
    """Whether a master has started workers since those `before` took connections. One that has only just been forked
    does not call itself a worker yet."""
    here = (found for found in children_of(master) if not found.is_retiring and found.pid not in before)
    return any(not found.title.startswith("nginx: cache") for found in here)


def connections_of(master: int, workers: Iterable[int]) -> int:
    """About as many connections as these workers have, to clients and to pods: the files that they have open and their
    master has not. 0 where we may not look."""
    common = _open_files(master)
    return sum(max(0, _open_files(worker) - common - FILES_OF_ITS_OWN) for worker in workers)


def _open_files(pid: int) -> int:
    with suppress(OSError):
        return len(os.listdir(_PROC / str(pid) / "fd"))  # noqa: PTH208 - names alone, there may be many
    return 0


def _processes() -> Iterator[Process]:
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())
    return (found for found in map(process, pids) if found)


def runs(pid: int, binary: str) -> bool:
    """Whether `pid` runs this very file; False when the file was replaced by another since.

    A binary with file capabilities hides its file from us; then it is taken to be the same.
    """
    try:
        return (_PROC / str(pid) / "exe").samefile(binary)
    except PermissionError:
        return True
    except OSError:
        return False
