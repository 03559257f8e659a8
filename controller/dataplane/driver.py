"""The data plane as the rest of the program sees it: give it fragments, it makes nginx run them.

Performs what the machine commands: files in a thread, nginx as a process. Whether a reload may begin is asked before,
with `turn`, so that what changes while it waits comes along. One caller at a time: the reconciler.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from controller.dataplane import machine
from controller.dataplane.certificates import CertificateFiles
from controller.dataplane.check import check, some_servers_only
from controller.dataplane.generation import Generation, GenerationStore
from controller.dataplane.machine import (
    Answer,
    Command,
    Done,
    Failed,
    Refused,
    Served,
    Steps,
    apply_steps,
    resume_steps,
)
from controller.dataplane.probe import ask_generation, probe
from controller.dataplane.process import NginxProcess
from controller.dataplane.procfs import accepting_workers_of, connections_of
from controller.dataplane.result import ApplyResult, Outcome
from controller.dataplane.taken import PATIENCE, find_taken
from controller.dataplane.turn import ReloadLimits, Turn
from controller.model.errors import NginxRefused, ProbeTimeout
from controller.model.fragments import Fragment, FragmentSet
from controller.model.layout import Layout
from controller.model.secretbytes import SecretBytes

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROBE_SECONDS = 10.0
PROBE_SECONDS_PER_FRAGMENT = 0.005
"""nginx reads about 10,000 servers a second here; a busy machine may be fifty times slower."""


class DataPlane:
    """Owned by the event loop. `output` and `errors` are file descriptors for nginx, inherited by default."""

    def __init__(
        self,
        layout: Layout,
        *,
        limits: ReloadLimits | None = None,
        probe_seconds: float = PROBE_SECONDS,
        output: int | None = None,
        errors: int | None = None,
    ) -> None:
        self._layout = layout
        self._probe_seconds = probe_seconds
        self._store = GenerationStore(layout)
        self._certificates = CertificateFiles(layout.certificates_dir, layout.worker_user.partition(" ")[0])
        self._wanted_certificates: frozenset[str] | None = None
        self._process = NginxProcess(layout, output, errors, self._count_restart)
        self._served = Served()
        self._size = 0
        self._trial: Mapping[str, Fragment] = {}
        self._ports_until = 0.0
        self._before: frozenset[int] = frozenset()
        self._start_fault = ""
        self._floor = 0
        self._timings: defaultdict[str, float] = defaultdict(float)
        self.restarts = 0
        self.turn = Turn((limits or ReloadLimits()).on_this_machine(layout.workers), lambda: self._process.pid)

    # -- state

    @property
    def pid(self) -> int:
        """Of the nginx master; 0 when none runs."""
        return self._process.pid

    @property
    def generation(self) -> int:
        """The last good generation; 0 for none."""
        return self._served.number

    async def may_apply(self, fragments: FragmentSet, changed: asyncio.Event, *, serial: bool = False) -> bool:
        """Wait until nginx may be reloaded for these fragments, where it has to be.

        False when `changed` was set meanwhile, so that what has changed can come along. `serial`: not before the
        workers of the last reload are gone (`enable-serial-reloads`).
        """
        if not self._served.proved or fragments.digest == self._served.wanted:
            self.turn.forget()
            return True
        self.turn.serial = serial
        return await self.turn.come(changed)

    # -- begin and end

    async def start_last_good(self) -> bool:
        """Serve what was served before the last stop or crash, with the nginx that still runs where there is one.

        Returns whether nginx answers now. Raises `NginxRefused` when it cannot be started for a reason that another
        configuration would not mend, such as a port in use, and OSError when the state directory is unusable.
        """
        good = await asyncio.to_thread(self._recover)
        adopted = self._process.adopt()
        answering = await ask_generation(self._layout.probe_socket) if adopted else None
        self._floor = answering or 0
        if answering and (good is None or answering > good.number):
            # Newer than what was recorded: whoever proved it died before that. The way back would take routes away.
            self._process.guard()
            return True
        if good is None:
            return False
        self._served = Served(good.number, good.fragments.fragments, good.fragments.digest)
        self._size = len(good.fragments.fragments)
        fault = await self._run(resume_steps(good.number, answering or 0, adopted))
        if fault:
            logger.warning("last good generation not served", extra={"generation": good.number, "error": fault})
            self._served = Served()
        self._raise_start_fault()
        if not fault:
            self._process.guard()
        return not fault

    def _recover(self) -> Generation | None:
        for path in (self._layout.state_dir, self._layout.temp_dir, self._layout.run_dir):
            if not Path(path).is_dir():
                Path(path).mkdir(parents=True)
                # Workers run as another user; what is secret below has a directory of its own.
                Path(path).chmod(0o755)
        return self._store.recover()

    async def stop(self, grace: float) -> None:
        """Let requests in flight finish, for at most `grace` seconds, then end nginx."""
        await self._process.stop(grace)

    def detach(self) -> None:
        """Leave nginx running without us; the next controller adopts it."""
        self._process.detach()

    def reopen_logs(self) -> bool:
        """After log files were renamed. False when no nginx runs."""
        return self._process.reopen_logs()

    # -- configurations

    async def apply(self, fragments: FragmentSet, reason: str) -> ApplyResult:
        """Make nginx run these fragments and prove that it does. Certificates they name must be there already.

        Raises `NginxRefused` when nginx accepts the configuration and cannot be started, such as a port in use.
        """
        self._timings = defaultdict(float)
        self._size = len(fragments.fragments)
        self._ports_until = time.monotonic() + PATIENCE
        number = self._store.next_number(above=self._floor)
        result, self._served = await self._run(apply_steps(self._served, fragments, number, reason))
        self._raise_start_fault()
        if result.outcome in (Outcome.APPLIED, Outcome.UNCHANGED) and not result.quarantined:
            await self._remove_certificates()
        return replace(result, timings=dict(self._timings))

    async def write_certificates(self, files: Mapping[str, SecretBytes | bytes]) -> tuple[str, ...]:
        """Replace these files, by name, below `layout.certificates_dir`; returns those whose content is new.

        Every other file is removed after the next apply that leaves nothing of the old configuration in force.
        Raises OSError where the disk fails.
        """
        self._wanted_certificates = frozenset(files)
        return await asyncio.to_thread(self._certificates.write, files)

    async def _remove_certificates(self) -> None:
        if self._wanted_certificates is None:
            return
        try:
            await asyncio.to_thread(self._certificates.keep_only, self._wanted_certificates)
        except OSError as fault:
            logger.warning("old certificates not removed", extra={"error": str(fault)})

    # -- the machine's commands

    async def _run(self, steps: Steps[T]) -> T:
        answer: Answer | None = None
        while True:
            try:
                command = next(steps) if answer is None else steps.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            begun = time.monotonic()
            answer = await self._perform(command)
            self._timings[type(command).__name__.lower()] += time.monotonic() - begun

    async def _perform(self, command: Command) -> Answer:
        try:
            match command:
                case machine.Write(number, fragments):
                    self._trial = fragments.fragments
                    await asyncio.to_thread(self._store.write, number, fragments)
                case machine.Test(number, servers):
                    return await self._test(number, servers)
                case machine.Switch(number):
                    await asyncio.to_thread(self._store.publish, number)
                case machine.Reload():
                    await self._reload()
                case machine.Restart():
                    self._before = frozenset()
                    await self._process.start()
                case machine.Probe(number):
                    await self._prove(number)
                case machine.Keep(number, digest):
                    await asyncio.to_thread(self._store.keep, number, digest)
                case machine.Discard(number):
                    await asyncio.to_thread(self._store.discard, number)
        except (OSError, NginxRefused, ProbeTimeout) as fault:
            return Failed(str(fault))
        return Done()

    async def _test(self, number: int, servers: tuple[str, ...]) -> Answer:
        layout, directory = self._layout, self._store.directory(number)
        # A master of ours that we know nothing of may hold the addresses itself.
        known = self._served.number or not self.pid
        taken = await find_taken(self._trial, self._served.fragments, self._ports_until) if known else None
        if taken:
            return Refused(taken)
        if not servers:
            refusal = await check(layout.nginx.path, layout.state_dir, directory)
        else:
            texts = {path: fragment.text for path, fragment in self._trial.items()}
            with some_servers_only(directory, texts, servers) as entry:
                refusal = await check(layout.nginx.path, layout.state_dir, directory, entry=entry)
        return Refused(refusal) if refusal else Done()

    async def _reload(self) -> None:
        master = self._process.pid
        self._before = await asyncio.to_thread(accepting_workers_of, master)
        connections = await asyncio.to_thread(connections_of, master, self._before)
        if not self._process.reload():
            await self._process.start()
        elif waited := self.turn.take(connections):
            self._timings["wait"] += waited

    async def _prove(self, number: int) -> None:
        """Raises `ProbeTimeout`, or `NginxRefused` when a master that was never proved ends instead of answering."""
        deadline = self._probe_seconds + PROBE_SECONDS_PER_FRAGMENT * self._size
        told = self._process.pid
        probing = asyncio.create_task(probe(self._layout.probe_socket, number, deadline, self._before, told))
        dying = asyncio.create_task(self._process.death())
        try:
            # A guarded master that dies is replaced meanwhile, and the probe finds the new one.
            await asyncio.wait({probing} if self._process.guarded else {probing, dying}, return_when="FIRST_COMPLETED")
            if not probing.done():
                self._start_fault = await self._process.explain()
                raise NginxRefused(self._start_fault)
            await probing
        finally:
            probing.cancel()
            dying.cancel()
        self._start_fault = ""
        self._process.guard()

    def _raise_start_fault(self) -> None:
        if self._start_fault and not self._process.pid:
            raise NginxRefused(f"nginx does not start: {self._start_fault}")

    def _count_restart(self) -> None:
        self.restarts += 1
