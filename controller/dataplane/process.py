"""The nginx master: started once, kept running, found again after a crash of the controller.

nginx leads its own session, so neither a Ctrl-C nor the controller's death ends it. A controller that starts again
adopts it, known by its command line, and traffic never notices. A master that dies is replaced: at once the
first time, then with growing pauses. Workers that it left behind still serve, and hold the ports; they are told to
quit, which frees the ports while requests in flight finish, and only then the new master starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from controller.dataplane.check import read_refusal
from controller.dataplane.leftovers import Leftovers, end_by
from controller.dataplane.procfs import masters, process, runs
from controller.dataplane.watched import Watched
from controller.model.errors import NginxRefused
from controller.model.layout import Layout

logger = logging.getLogger(__name__)

STABLE_AFTER = 10.0
"""A master that lived this many seconds is taken to be healthy: the next one starts at once again."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

_LOOK_EVERY = 0.01
_COMPLAINT_BYTES = 16_384


class NginxProcess:
    """Owned by the event loop. `output` and `errors` are file descriptors for nginx, inherited by default.

    `on_restart` is called after each restart that nobody asked for.
    """

    def __init__(
        self,
        layout: Layout,
        output: int | None = None,
        errors: int | None = None,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self._layout = layout
        self._argv = (layout.nginx.path, "-p", layout.state_dir, "-e", "stderr", "-c", f"{layout.current}/nginx.conf")
        self._arguments = " ".join(self._argv[1:])
        self._output = output
        self._errors = errors
        self._on_restart = on_restart
        self._master: Watched | None = None
        self._guard: asyncio.Task[None] | None = None
        self._leftovers = Leftovers()

    @property
    def pid(self) -> int:
        """0 when none runs."""
        return self._master.pid if self._master and self._master.alive else 0

    # -- begin

    def adopt(self) -> bool:
        """Take over the master that an earlier controller left running, if it is ours and of the same binary."""
        found = [one.pid for one in masters(self._arguments)]
        # Two are there only when a controller crashed while it replaced one; `start` ends both.
        master = self._ours(found[0]) if len(found) == 1 and runs(found[0], self._layout.nginx.path) else None
        if master is None:
            return False
        self._master = master
        logger.info("nginx adopted", extra={"pid": master.pid})
        return True

    async def start(self) -> None:
        """Start a master in place of any other of ours. Raises `NginxRefused` when it cannot be executed.

        Whether it comes up is for a probe to tell; `death` says when it does not.
        """
        await self._unguard()
        await self._start()

    async def _start(self) -> None:
        await self._clear()
        try:
            self._master = self._spawn(self._errors)
        except OSError as fault:
            raise NginxRefused(f"cannot run {self._argv[0]}: {fault}") from fault
        logger.info("nginx started", extra={"pid": self._master.pid})

    def _spawn(self, errors: int | None) -> Watched:
        """Raises OSError when it cannot be executed."""
        child = subprocess.Popen(  # noqa: S603 - fork and exec only; the pidfd is awaited
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=errors,
            cwd=self._layout.state_dir,
            start_new_session=True,
        )
        return Watched(child.pid, child)

    def guard(self) -> None:
        """From now on start a new master whenever this one dies."""
        if self._guard is None:
            self._guard = asyncio.create_task(self._keep_running(), name="nginx-guard")
            self._guard.add_done_callback(self._guard_ended)

    def _guard_ended(self, guard: asyncio.Task[None]) -> None:
        """It ends by being cancelled; anything else is a fault of ours, and the next apply sets up a new one."""
        if not guard.cancelled() and guard.exception():
            logger.critical("nginx guard ended", exc_info=guard.exception())
            self._guard = None

    @property
    def guarded(self) -> bool:
        return self._guard is not None

    # -- signals

    def reload(self) -> bool:
        """HUP. False when no master runs."""
        return self._master is not None and self._master.send(signal.SIGHUP)

    def reopen_logs(self) -> bool:
        """USR1: open the log files anew, after they were renamed. False when no master runs."""
        return self._master is not None and self._master.send(signal.SIGUSR1)

    # -- end

    async def stop(self, grace: float) -> None:
        """QUIT, so that requests in flight finish; after `grace` seconds TERM, then KILL. Returns when all is gone."""
        await self._unguard()
        if self._master is None:
            return
        self._master.send(signal.SIGQUIT)
        await end_by((self._master, *self._leftovers.alive), time.monotonic() + grace)
        await self._clear()
        await end_by(self._leftovers.alive, time.monotonic())
        self._master = None
        logger.info("nginx stopped")

    def detach(self) -> None:
        """Leave nginx running and forget it."""
        if self._guard:
            self._guard.cancel()
            self._guard = None
        for one in (self._master, *self._leftovers.alive):
            if one:
                one.forget()
        self._master = None

    async def death(self) -> None:
        """Returns when the master is gone, at once when there is none."""
        if self._master:
            await self._master.ended()

    # -- what is left of a master

    async def _clear(self) -> None:
        """End a master of ours that still runs, free its ports from its workers, remove its sockets."""
        others = [self._ours(one.pid) for one in masters(self._arguments) if one.pid != self.pid]
        ours = [one for one in (self._master, *others) if one]
        for master in ours:
            # Its workers are told to quit below. Killed, it can neither start them again nor, when the last
            # is gone, remove the pid file of its successor.
            master.send(signal.SIGKILL)
            await master.ended()
        for session in {self._recorded_pid(), *(one.pid for one in ours)} - {0}:
            await self._leftovers.retire(session)
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """nginx cannot bind a unix socket whose file a killed master left behind."""
        layout = self._layout
        for stale in (layout.probe_socket, layout.https_socket, layout.refused_socket):
            Path(stale).unlink(missing_ok=True)

    def _recorded_pid(self) -> int:
        """What nginx wrote into its pid file: the session of workers that outlived an earlier controller's master.

        0 for nothing; `nginx -t` may have created it empty.
        """
        try:
            return int(Path(self._layout.pid_file).read_text())
        except (OSError, ValueError):
            return 0

    def _ours(self, pid: int) -> Watched | None:
        """That process, if it is a master of ours. Asked once it is held, so it cannot be another."""
        try:
            watched = Watched(pid)
        except ProcessLookupError:
            return None
        found = process(pid)
        if found and found.is_master(self._arguments):
            return watched
        watched.forget()
        return None

    # -- keep it running

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            since = time.monotonic()
            await self.death()
            died = self._master.status if self._master else "never started"
            failures = 0 if time.monotonic() - since > STABLE_AFTER else failures + 1
            pause = 0.0 if failures < 2 else min(FIRST_PAUSE * 2 ** (failures - 2), LONGEST_PAUSE)
            logger.error("nginx died", extra={"status": died, "restart_in_seconds": pause})
            if failures > 1:
                logger.error("nginx does not stay up", extra={"error": await self.explain()})
            await asyncio.sleep(pause)
            try:
                await self._start()
            except (NginxRefused, OSError) as fault:
                logger.error("nginx not started", extra={"error": str(fault)})
            else:
                self._on_restart()

    async def _unguard(self) -> None:
        """Returns when the guard is through with whatever it was doing, so that two never start nginx at once."""
        guard, self._guard = self._guard, None
        if guard:
            guard.cancel()
            await asyncio.wait([guard])

    # -- why it does not start

    async def explain(self) -> str:
        """Start nginx once more, only to hear its first complaint, and end it. Takes a second at most."""
        try:
            return await self._explain()
        except OSError as fault:
            return str(fault)

    async def _explain(self) -> str:
        # A file, not a pipe: should this one come up, its workers would hold a pipe open after its end.
        with os.fdopen(os.memfd_create("nginx-complaint"), "rb") as said:
            await self._clear()
            trial = self._spawn(said.fileno())
            try:
                complaint = await _first_complaint(trial, said.fileno())
            finally:
                trial.send(signal.SIGKILL)
                await trial.ended()
                await self._leftovers.retire(trial.pid)
                self._remove_sockets()
        return read_refusal(complaint, Path(self._layout.current)).message


async def _first_complaint(trial: Watched, said: int) -> str:
    """What it wrote up to its first error or its end; a second without either means that it came up."""
    for _ in range(int(1.0 / _LOOK_EVERY)):
        ended = await trial.ended(within=_LOOK_EVERY)
        text = os.pread(said, _COMPLAINT_BYTES, 0).decode(errors="replace")
        if ended or "[emerg]" in text:
            return text
    return "no error when it was started once more"
