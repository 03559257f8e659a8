"""Workers that a reload retired and that long-lived connections keep: how many, how much memory, how many connections.

Each reload leaves workers behind that end with their last connection. A WebSocket, a gRPC stream or a big download
keeps one for as long as it lasts (`worker_shutdown_timeout` at most), and with it the memory of a whole configuration.
A `Budget` bounds that. Everything is read from /proc, so it holds for an nginx that we adopted as well. Blocking, for
milliseconds.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.dataplane.procfs import Process, old_workers_of, process

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
WORKERS_PER_PROCESSOR = 16
SHARE_OF_MEMORY = 4
"""The inverse of the share that old workers may have where nobody said otherwise."""

_LISTENS, _STANDS = "0A", "01"
"""States of a socket in /proc/net/tcp (include/net/tcp_states.h)."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class OldWorkers:
    """What old workers hold. `memory` is in bytes; `connections` are those of clients, None where we may not look."""

    count: int = 0
    memory: int = 0
    connections: int | None = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What old workers may hold until reloads wait for them: so many, and so many bytes; 0 is no limit.

    None is left to the machine: 16 for each processor, and a quarter of the memory that there is.
    """

    workers: int | None = None
    memory: int | None = None

    def on_this_machine(self, processors: int) -> Budget:
        """With numbers in place of None."""
        workers = WORKERS_PER_PROCESSOR * processors if self.workers is None else self.workers
        return Budget(workers, memory_there_is() // SHARE_OF_MEMORY if self.memory is None else self.memory)

    def spent(self, found: Sequence[Process]) -> str:
        """`count` or `memory`, empty while there is room. PSS is asked for only where more than it is too much."""
        if self.workers and len(found) >= self.workers:
            return "count"
        if self.memory and _total(found, _resident) >= self.memory <= _total(found, proportional):
            return "memory"
        return ""


def look(master: int) -> OldWorkers:
    """The old workers of an nginx master."""
    found = old_workers_of(master)
    if not found:
        return OldWorkers()
    return OldWorkers(len(found), _total(found, proportional), _connections(found))


def end_oldest(master: int) -> int:
    """Make the workers of the oldest generation end now, as `worker_shutdown_timeout` would. Returns how many."""
    found = old_workers_of(master)
    first = min((worker.started for worker in found), default=0)
    oldest = [worker for worker in found if worker.started - first <= _TICKS]
    return sum(_end(worker, master) for worker in oldest)


def _end(worker: Process, master: int) -> bool:
    """Held by a pidfd and looked at again, so that no other process is hit."""
    try:
        held = os.pidfd_open(worker.pid)
    except ProcessLookupError:
        return False
    try:
        now = process(worker.pid)
        if not now or now.parent != master or not now.is_old_worker:
            return False
        signal.pidfd_send_signal(held, signal.SIGTERM)
    except ProcessLookupError:
        return False
    finally:
        os.close(held)
    return True


def memory_there_is() -> int:
    """Bytes that we and nginx may use together: the limit of our control group, else what the machine has."""
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE
    for limit in _LIMITS:
        with suppress(OSError, ValueError):
            return min(machine, int(Path(limit).read_text()))
    return machine


# -- memory


def proportional(worker: Process) -> int:
    """Bytes, a page that k processes share counted as 1/k (PSS). Where the kernel hides that, all that it has resident.

    Hidden are processes whose binary has file capabilities; then shared pages count for each.
    """
    try:
        rollup = (_PROC / str(worker.pid) / "smaps_rollup").read_text()
    except OSError:
        return _resident(worker)
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else _resident(worker)


def _resident(worker: Process) -> int:
    """Bytes; 0 for one that has ended."""
    with suppress(OSError, IndexError):
        return int((_PROC / str(worker.pid) / "statm").read_text().split()[1]) * _PAGE
    return 0


def _total(workers: Iterable[Process], measure: Callable[[Process], int]) -> int:
    return sum(map(measure, workers))


# -- connections


def _connections(workers: Sequence[Process]) -> int | None:
    """TCP connections that clients opened: those whose near end is a port that somebody listens on."""
    try:
        held = {inode for worker in workers for inode in _sockets(worker.pid)}
        tables = [_table(workers[0].pid, name) for name in ("tcp", "tcp6")]
    except PermissionError:
        return None
    entries = [entry for table in tables for entry in table]
    listening = {port for port, state, _ in entries if state == _LISTENS}
    return sum(state == _STANDS and port in listening and inode in held for port, state, inode in entries)


def _sockets(pid: int) -> set[str]:
    """Inodes; empty for a process that has ended."""
    found: set[str] = set()
    with suppress(FileNotFoundError, ProcessLookupError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _table(pid: int, name: str) -> list[tuple[str, str, str]]:
    """Near port, state and inode of each socket in the network namespace of `pid` (proc_net_tcp.txt)."""
    try:
        lines = (_PROC / str(pid) / "net" / name).read_text().splitlines()[1:]
    except OSError:
        return []
    fields = (line.split(None, 10) for line in lines)
    return [(each[1].rpartition(":")[2], each[3], each[9]) for each in fields]
