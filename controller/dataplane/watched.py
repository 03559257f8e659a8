"""A process seen through a pidfd: signals can never hit another process that got its number (pidfd_open(2)).

Works for our children and for processes that we adopted alike. A child is reaped when it ends, also one that became
ours because we are process 1 of a container.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from subprocess import Popen


class Watched:
    """Raises `ProcessLookupError` when there is no such process. Bound to the running event loop."""

    def __init__(self, pid: int, child: Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._loop = asyncio.get_running_loop()
        self._descriptor = os.pidfd_open(pid)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._descriptor, self._on_end)

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    @property
    def status(self) -> str:
        """How it ended, as far as can be known: only a parent is told."""
        code = self._child.returncode if self._child else None
        if code is None:
            return "unknown"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def send(self, number: signal.Signals) -> bool:
        """False when it has ended already."""
        if not self.alive:
            return False
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return False
        return True

    async def ended(self, within: float | None = None) -> bool:
        """Wait for its end, at most `within` seconds. Returns whether it has ended."""
        await asyncio.wait([self._ended], timeout=within)
        return self._ended.done()

    def forget(self) -> None:
        """Stop watching; the process lives on."""
        if self.alive:
            self._close()
            self._ended.cancel()

    def _on_end(self) -> None:
        self._close()
        if self._child:
            self._child.poll()
        else:
            with suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
        self._ended.set_result(None)

    def _close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
