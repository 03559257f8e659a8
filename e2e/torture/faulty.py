"""The controller with a fault in it: `python -m e2e.torture.faulty ACTION@POINT run ...`.

Nothing of it is in the program itself: this one wraps what the data plane does, arms itself on SIGUSR2, and runs the
command line as it is. At the first time that the armed program comes to POINT it does ACTION, once.

Points: `before:NAME` and `after:NAME` of a command of the apply machine (write, test, switch, reload, restart, probe,
keep, discard); `file:N`, the Nth operation in an apply that changes a file below the state directory. Actions: `crash`
kills the controller, `kill-nginx` the master, `kill-all` both of them and the workers. `fail-NAME` lets the operation,
and with `fail-NAME-on` every one after it, fail with that error of errno (`ENOSPC`, `EROFS`, `EMFILE`); these go with
`file:N`.

File operations are known by Python's audit events (PEP 578), which come before the operation and can refuse it. They
say what is opened for writing, not what is written: a disk that is full in the middle of a file is a test with a disk.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from controller.cli.main import main
from controller.dataplane.driver import DataPlane
from controller.dataplane.machine import Answer, Command

CHANGES = ("os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.remove", "os.truncate")


class Fault:
    """What happens where, once armed."""

    def __init__(self, text: str, state: str) -> None:
        self._action, _, self._point = text.partition("@")
        self._state = state
        self._armed = self._struck = self.applying = False
        self._operations = 0
        signal.signal(signal.SIGUSR2, self._arm)

    def _arm(self, *_: object) -> None:
        self._armed = True

    def meet(self, point: str) -> None:
        """The program is at this point. Raises OSError where the action says so, or does not come back."""
        again = self._struck and self._lasts and point.startswith("file:")
        if not self._armed or not (again or (point == self._point and not self._struck)):
            return
        if not self._struck:
            self._struck = True
            print(
                json.dumps({"fault": self._action, "point": point, "at": time.monotonic()}), file=sys.stderr, flush=True
            )
        self._act()

    @property
    def _lasts(self) -> bool:
        return self._action.endswith("-on")

    def _act(self) -> None:
        if self._action.startswith("fail-"):
            number = getattr(errno, self._action.split("-")[1])
            raise OSError(number, os.strerror(number))
        master = int((Path(self._state) / "nginx.pid").read_text())
        if self._action != "crash":
            workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
            os.kill(master, signal.SIGKILL)
            for worker in workers if self._action == "kill-all" else ():
                os.kill(int(worker), signal.SIGKILL)
        if self._action != "kill-nginx":
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """For `sys.addaudithook`."""
        if not self._armed or not (self.applying or self._struck) or not self._changes(event, arguments):
            return
        self._operations += 1
        self.meet(f"file:{self._operations}")

    def _changes(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return False
        elif event in CHANGES:
            path = arguments[0]
        else:
            return False
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._state)


def install(fault: Fault) -> None:
    """Wrap the data plane, for the rest of this process."""
    perform, apply = DataPlane._perform, DataPlane.apply

    async def watched_perform(self: DataPlane, command: Command) -> Answer:
        name = type(command).__name__.lower()
        fault.meet(f"before:{name}")
        answer = await perform(self, command)
        fault.meet(f"after:{name}")
        return answer

    async def watched_apply(self: DataPlane, *arguments: Any) -> Any:
        fault.applying = True
        try:
            return await apply(self, *arguments)
        finally:
            fault.applying = False

    DataPlane._perform = watched_perform  # type: ignore[method-assign]
    DataPlane.apply = watched_apply  # type: ignore[method-assign, assignment]
    sys.addaudithook(fault.audit)


if __name__ == "__main__":
    arguments = sys.argv[2:]
    install(Fault(sys.argv[1], arguments[arguments.index("--state-dir") + 1]))
    sys.exit(main(arguments))
