"""nginx's processes as /proc shows them (proc(5)).

nginx writes its role into its command line: the master adds its arguments, so that one of ours can be told by the
directories it was started with; workers add what they are doing. Our master leads its own session, and its
workers keep that session when the master is killed: that is how they are found again. Linux gives no
process a number that a living session still bears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `title` is its command line; empty for a zombie."""

    pid: int
    parent: int
    session: int
    title: str

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
    _state, parent, _group, session = stat.rpartition(")")[2].split()[:4]
    return Process(pid, int(parent), int(session), title.replace(b"\0", b" ").decode(errors="replace").rstrip())


def masters(arguments: str) -> Iterator[Process]:
    """Masters of ours, whatever the pid file says: it may be missing, or from before a restart of the machine."""
    return (found for found in _processes() if found.is_master(arguments))


def orphans_of(session: int) -> Iterator[Process]:
    """Workers that outlived the master that led `session`."""
    return (found for found in _processes() if found.session == session and found.is_orphan_of_nginx)


def retiring_of(master: int) -> tuple[Process, ...]:
    """Workers of a master that finish what they have since a reload."""
    return tuple(found for found in _processes() if found.parent == master and "is shutting down" in found.title)


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
