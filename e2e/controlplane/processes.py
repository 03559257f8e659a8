"""Programs that run beside the tests and never outlive them.

Guarantees: `stop` returns when the program and its children are gone; a program dies with the
tests even when these are killed; its output is in a file, for the day a test fails.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.controlplane import linux


class Program:
    """One running program, in a process group of its own."""

    def __init__(self, command: Sequence[str], log: Path, pass_fds: Sequence[int] = ()) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=linux.die_with_parent,
                pass_fds=pass_fds,
            )

    @property
    def pid(self) -> int:
        """The id of the process, also after its end."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def stop(self, patience: float = 10.0) -> None:
        """Ask it to end, wait, and after `patience` seconds kill it."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        if self.running:  # so the id is still ours: only our own wait gives it back
            os.killpg(self.pid, number)
