"""Leader election on a Lease: one replica of many writes status and Events.

A pure machine (`Election`) says what to do next and is told what came of it; `Elector` does it. Guarantees: another's
Lease counts as expired only after it has not changed for its whole duration on our own monotonic clock, so clocks of
other machines mean nothing; our own leadership ends by itself when its duration has passed since the last renewal was
*sent*, whether or not the API server can be reached. Writes carry the resourceVersion, so two never win at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Never, Protocol

from controller.k8s.lease import Lease, LeaseMeta, LeaseSpec
from controller.model.errors import ApiConflict, ApiUnavailable, HeadraceError

logger = logging.getLogger(__name__)

RENEWALS = 3
"""A leader renews so many times in the life of its Lease."""

PATIENCE = 10
"""Others look, and everybody tries again, so many times in the life of a Lease: a released one is soon taken."""


class LeaseApi(Protocol):
    """Every call raises the `Api…` errors."""

    async def get_lease(self, namespace: str, name: str) -> Lease | None:
        """None where there is none."""
        ...

    async def create_lease(self, lease: Lease) -> Lease: ...

    async def replace_lease(self, lease: Lease) -> Lease:
        """Raises `ApiConflict` where the resourceVersion is not the newest one."""
        ...


class Verb(StrEnum):
    READ = "read"
    CREATE = "create"
    REPLACE = "replace"
    WAIT = "wait"


class Command(NamedTuple):
    """What to do next. `seconds` is for WAIT, `lease` for CREATE and REPLACE."""

    verb: Verb
    lease: Lease | None = None
    seconds: float = 0.0


class Election:
    """The machine. `now` is always in seconds of one monotonic clock, `stamp` is MicroTime text for others to read."""

    def __init__(self, namespace: str, name: str, identity: str, ttl: float) -> None:
        self.name = (namespace, name)
        self._identity, self._ttl = identity, ttl
        self._known: Lease | None = None
        self._looked = False
        self._changed_at = 0.0
        self._renewed_at: float | None = None
        self._not_before = 0.0

    def leading(self, now: float) -> bool:
        return self._renewed_at is not None and now < self._renewed_at + self._ttl

    @property
    def holder(self) -> str:
        """Who is known to have it; empty where nobody has."""
        return (self._known.spec.holder_identity or "") if self._known else ""

    # -- what to do

    def next(self, now: float, stamp: str) -> Command:
        """The command of this moment. After every command but WAIT the machine must be told how it went."""
        if now < self._not_before:
            return Command(Verb.WAIT, seconds=self._not_before - now)
        if not self._looked:
            return Command(Verb.READ)
        if self._known is None:
            return Command(Verb.CREATE, self._mine(None, stamp))
        if self.holder in ("", self._identity) or now >= self._expiry(self._known):
            return Command(Verb.REPLACE, self._mine(self._known, stamp))
        return Command(Verb.READ)

    def release(self, now: float, stamp: str) -> Lease | None:
        """The Lease to write so that the next one takes over at once; None where there is nothing to release."""
        if not self.leading(now) or self._known is None:
            return None
        self._renewed_at = None
        spec = LeaseSpec(
            holder_identity="",
            lease_duration_seconds=1,
            acquire_time=stamp,
            renew_time=stamp,
            lease_transitions=self._known.spec.lease_transitions or 0,
        )
        return Lease(self._known.metadata, spec)

    # -- how it went

    def read(self, now: float, lease: Lease | None) -> None:
        """The Lease is like this, or there is none."""
        if lease is None or self._known is None or lease.spec != self._known.spec:
            self._changed_at = now
        self._known, self._looked = lease, True
        if self.holder != self._identity:
            self._renewed_at = None
        if lease is not None and self.holder not in ("", self._identity):
            self._not_before = min(now + self._ttl / PATIENCE, max(now, self._expiry(lease)))

    def written(self, sent: float, lease: Lease) -> None:
        """Ours now, counted from when the request was sent."""
        self._known, self._changed_at, self._renewed_at = lease, sent, sent
        self._not_before = sent + self._ttl / RENEWALS

    def failed(self, now: float, asked: float = 0.0) -> None:
        """No answer, a refusal, or somebody else wrote first. What was sent may have arrived all the same, so look
        first; not before `asked` seconds have passed, which are counted up to the life of the Lease.
        """
        self._looked = False
        self._not_before = now + max(self._ttl / PATIENCE, min(asked, self._ttl))

    def _expiry(self, lease: Lease) -> float:
        return self._changed_at + (lease.spec.lease_duration_seconds or self._ttl)

    def _mine(self, before: Lease | None, stamp: str) -> Lease:
        old = before.spec if before else LeaseSpec()
        kept = before is not None and old.holder_identity == self._identity
        spec = LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=math.ceil(self._ttl),
            acquire_time=old.acquire_time if kept else stamp,
            renew_time=stamp,
            lease_transitions=(old.lease_transitions or 0) + (before is not None and not kept),
        )
        return Lease(before.metadata if before else LeaseMeta(self.name[1], self.name[0]), spec)


class Elector:
    """Runs the machine against the API server. `tell` hears of every change of our role."""

    def __init__(
        self,
        api: LeaseApi,
        election: Election,
        tell: Callable[[bool], None],
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        stamp: Callable[[], str] | None = None,
    ) -> None:
        self._api, self._election, self._tell = api, election, tell
        self._timeout, self._clock, self._stamp = timeout, clock, stamp or micro_time
        self._told = False
        self._trouble = ""

    @property
    def leading(self) -> bool:
        return self._election.leading(self._clock())

    async def run(self) -> Never:
        """Until cancelled; the Lease is kept then, for `release` to give it away after the last writes."""
        while True:
            pause = await self.step()
            await asyncio.sleep(pause)

    async def step(self) -> float:
        """One command of the machine. Returns the seconds to wait before the next."""
        command = self._election.next(self._clock(), self._stamp())
        if command.verb is not Verb.WAIT:
            await self._try(command)
        self._tell_changes()
        return command.seconds

    async def release(self, seconds: float) -> None:
        """Gives the Lease away, if it is ours. A failure is only logged: the Lease runs out by itself."""
        lease = self._election.release(self._clock(), self._stamp())
        self._tell_changes()
        if lease is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._api.replace_lease(lease)
        except (HeadraceError, TimeoutError) as error:
            logger.warning("lease not released", extra={"lease": "/".join(self._election.name), "error": str(error)})

    async def _try(self, command: Command) -> None:
        sent = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                await self._do(command, sent)
            self._trouble = ""
        except ApiConflict:
            self._election.failed(self._clock())
        except (HeadraceError, TimeoutError) as error:
            asked = error.retry_after if isinstance(error, ApiUnavailable) else None
            self._election.failed(self._clock(), asked or 0.0)
            self._complain(str(error) or "no answer in time")

    async def _do(self, command: Command, sent: float) -> None:
        if command.lease is None:
            self._election.read(self._clock(), await self._api.get_lease(*self._election.name))
        elif command.verb is Verb.CREATE:
            self._election.written(sent, await self._api.create_lease(command.lease))
        else:
            self._election.written(sent, await self._api.replace_lease(command.lease))

    def _complain(self, reason: str) -> None:
        """Once for each reason."""
        if reason != self._trouble:
            logger.warning("lease out of reach", extra={"lease": "/".join(self._election.name), "error": reason})
        self._trouble = reason

    def _tell_changes(self) -> None:
        leading = self.leading
        if leading is not self._told:
            self._told = leading
            message = "leading" if leading else "no longer leading"
            logger.info(message, extra={"lease": "/".join(self._election.name)})
            self._tell(leading)


def micro_time(moment: datetime | None = None) -> str:
    """MicroTime of the Kubernetes API: RFC 3339 in UTC with six digits of a second."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
