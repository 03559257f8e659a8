"""When the next reload may begin: the pace, the turn among replicas, and what old workers still hold.

A reload that has to wait gathers what changes meanwhile, and nothing waits for ever. The pace is a matter of seconds,
turns of replicas go round by the clock, and old workers are waited for `patience` seconds: then the oldest are made to
end until there is room, as `worker_shutdown_timeout` would do later. Endpoints and certificates need no reload, so none
of this holds them up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from controller.dataplane.old_workers import Budget, OldWorkers, end_oldest, look
from controller.dataplane.pace import Pace, Replica, price
from controller.dataplane.procfs import Process, old_workers_of

logger = logging.getLogger(__name__)

LONGEST_SERIAL = 3_600.0
"""Seconds that a reload waits for the workers of the one before, where the operator wants that."""

LAST_WAIT = 2.0
"""Seconds that workers which were told to end at once have for it; then the reload comes in any case."""

TOLD = 5.0
"""Seconds of waiting of which somebody will ask what they are for."""

_LOOK_EVERY = 0.25
_GATHER = 0.25


@dataclass(frozen=True, slots=True)
class ReloadLimits:
    """`interval`, `patience` and `turn` are seconds; `turn` is how long each replica's lasts, 0 for no turns."""

    interval: float = 0.5
    burst: int = 20
    budget: Budget = field(default_factory=Budget)
    patience: float = 30.0
    turn: float = 0.0

    def on_this_machine(self, processors: int) -> ReloadLimits:
        """With numbers for what is left to the machine."""
        return replace(self, budget=self.budget.on_this_machine(processors))


class Cause(StrEnum):
    """Why a reload waits."""

    PACE = "pace"
    REPLICAS = "replicas"
    SERIAL = "serial"
    OLD_WORKERS = "old-workers"


class Obstacle(NamedTuple):
    """Look again after so many seconds."""

    cause: Cause
    seconds: float


class Turn:
    """Owned by the event loop. `master` gives the process id of the nginx master, 0 for none.

    `old` is what old workers held when last looked at; `delayed` counts reloads that waited, by cause; `ended` counts
    workers that were made to end.
    """

    def __init__(self, limits: ReloadLimits, master: Callable[[], int]) -> None:
        self.limits = limits
        self.replica = Replica()
        self.serial = False
        self.old = OldWorkers()
        self.delayed: Counter[Cause] = Counter()
        self.ended = 0
        self._master = master
        self._pace = Pace(limits.interval, limits.burst)
        self._since: float | None = None
        self._causes: set[Cause] = set()
        self._told: set[Cause] = set()

    async def come(self, changed: asyncio.Event) -> bool:
        """Returns True when a reload may begin, and False when `changed` was set while it had to wait.

        The next call goes on where this one was. Changes are gathered for a moment, where there is time for it.
        """
        while obstacle := await self._obstacle():
            self._causes.add(obstacle.cause)
            begun = time.monotonic()
            self._tell_of(obstacle, begun)
            if await _set_within(changed, obstacle.seconds):
                left = begun + obstacle.seconds - time.monotonic()
                await asyncio.sleep(max(0.0, min(left, _GATHER)))
                return False
        return True

    def take(self, connections: int = 0) -> float:
        """A reload begins, and so many connections will be made anew. Returns how many seconds it had to wait."""
        now = time.monotonic()
        self._pace.spend(now, price(connections))
        waited = now - self._since if self._since is not None and self._causes else 0.0
        self.delayed.update(self._causes)
        self.forget()
        return waited

    def forget(self) -> None:
        """No reload is wanted any more."""
        self._causes.clear()
        self._told.clear()
        self._since = None

    async def watch(self, every: float = 5.0) -> None:
        """Keep `old` up to date; ends by cancellation only."""
        while True:
            self.old = await asyncio.to_thread(look, self._master())
            await asyncio.sleep(every)

    async def _obstacle(self) -> Obstacle | None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if seconds := self._pace.wait(now):
            return Obstacle(Cause.PACE, seconds)
        waited = now - self._since
        if seconds := self._until_own_turn(waited):
            return Obstacle(Cause.REPLICAS, seconds)
        found = await asyncio.to_thread(old_workers_of, self._master())
        if self.serial and found and waited < LONGEST_SERIAL:
            return Obstacle(Cause.SERIAL, _LOOK_EVERY)
        return await self._wait_for_room(found, waited)

    def _until_own_turn(self, waited: float) -> float:
        """The clock may be set meanwhile, so nobody waits longer than all turns take."""
        limit = self.limits.turn * self.replica.count
        return self.replica.seconds_until_turn(time.time(), self.limits.turn) if waited < limit else 0.0

    async def _wait_for_room(self, found: tuple[Process, ...], waited: float) -> Obstacle | None:
        limits = self.limits
        spent = await asyncio.to_thread(limits.budget.spent, found) if found else ""
        if not spent or waited >= limits.patience + LAST_WAIT:
            return None
        if Cause.OLD_WORKERS not in self._causes:
            await self._tell_of_old_workers(spent)
        if waited >= limits.patience:
            ended = await asyncio.to_thread(end_oldest, self._master())
            self.ended += ended
            logger.warning("oldest workers ended", extra={"workers": ended, "waited_seconds": round(waited, 1)})
        return Obstacle(Cause.OLD_WORKERS, _LOOK_EVERY)

    def _tell_of(self, obstacle: Obstacle, now: float) -> None:
        """One line for each cause of a long wait. Old workers are told of at once, with what they hold."""
        waited = now - (self._since or now)
        if obstacle.cause in self._told | {Cause.OLD_WORKERS} or waited + obstacle.seconds < TOLD:
            return
        self._told.add(obstacle.cause)
        seconds = {"waited_seconds": round(waited, 1), "at_least_seconds": round(obstacle.seconds, 1)}
        logger.info("reload is held back", extra={"cause": obstacle.cause, **seconds})

    async def _tell_of_old_workers(self, spent: str) -> None:
        self.old = await asyncio.to_thread(look, self._master())
        held = {"workers": self.old.count, "bytes": self.old.memory, "connections": self.old.connections}
        extra = {"limit": spent, **held, "at_most_seconds": self.limits.patience}
        logger.warning("reload waits for old workers", extra=extra)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
