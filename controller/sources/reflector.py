"""Keeps one scope of objects in step with the API server: a paged list, then a watch that goes on where it ended.

Guarantees: no fault takes back what was told; objects that vanished while we could not watch are told as deleted after
the next list; nobody is asked in a tight loop. A watch that ends or breaks goes on from the last version seen, and only
a version that is gone (410) costs a new list. Being forbidden is told once and tried again slowly.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, KeysView
from dataclasses import dataclass
from typing import NamedTuple

from controller.k8s.codec import Decoded
from controller.k8s.pages import Line, NotKubernetes, Page, Verb, decode_line, decode_page
from controller.model.errors import (
    ApiConflict,
    ApiForbidden,
    ApiRefused,
    ApiUnavailable,
    ApiUnreachable,
    HeadraceError,
    ResourceExpired,
)
from controller.model.refs import Kind, ObjectKey
from controller.sources.base import EVERYTHING, PAGE, Api, Emit
from controller.sources.scope import Scope
from controller.state.events import Applied, Deleted, Rejected, Synced, Unreadable

logger = logging.getLogger(__name__)

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 30.0
BACKOFF_UNREACHABLE = 5.0
"""A connection that is refused is no load for the server, and changes shall arrive soon after an outage."""

RETRY_AFTER_MOST = 300.0
WATCH_SECONDS = (240, 290)
FORBIDDEN_SECONDS = (30.0, 60.0)
FORBIDDEN_TRIES = 4
"""An API server that has just started may forbid everything until it knows the roles, so one 403 proves nothing."""

TOO_SHORT = 1.0
"""Seconds below which a watch that ended counts as failed."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance; tests give their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform
    monotonic: Callable[[], float] = time.monotonic
    time: Callable[[], float] = time.time


class WatchStats(NamedTuple):
    """For metrics. `last_event`: seconds since the epoch, None before the first. The counters only grow."""

    kind: Kind
    objects: int
    connected: bool
    last_event: float | None
    relists: int
    rejects: int


async def list_pages(api: Api, scope: Scope, limit: int = PAGE) -> AsyncIterator[Page]:
    """All pages of one consistent list. Raises what the transport raises, and `NotKubernetes`."""
    more = ""
    while True:
        page = decode_page(scope.kind, await api.list_page(scope, more, limit))
        yield page
        more = page.more
        if not more:
            return


def backoff(failures: int, uniform: Callable[[float, float], float], error: Exception | None = None) -> float:
    """Seconds to wait after so many failures in a row (at least 1): doubling, jittered, or what the server asks."""
    most = BACKOFF_UNREACHABLE if isinstance(error, ApiUnreachable) else BACKOFF_MOST
    delay = min(most, BACKOFF_FIRST * 2.0 ** min(failures - 1, 10))
    jittered = min(most, max(BACKOFF_FIRST, delay * uniform(0.7, 1.3)))
    asked = error.retry_after if isinstance(error, ApiUnavailable) else None
    return max(jittered, min(asked or 0.0, RETRY_AFTER_MOST))


class Reflector:
    """One scope. With `poll` it is listed every so many seconds instead of being watched."""

    def __init__(self, scope: Scope, api: Api, *, clock: Clock | None = None, poll: float = 0.0) -> None:
        self.scope = scope
        self._api = api
        self._clock = clock or Clock()
        self._poll = poll
        self._known: dict[ObjectKey, str] = {}
        self._version = ""
        self._synced = self._told_forbidden = self._expired = self._unreachable = False
        self._failures = self._relists = self._rejects = 0
        self._connected = self._expired = False
        self._last_event: float | None = None

    @property
    def keys(self) -> KeysView[ObjectKey]:
        """What exists now, as far as we know."""
        return self._known.keys()

    @property
    def stats(self) -> WatchStats:
        return WatchStats(
            self.scope.kind, len(self._known), self._connected, self._last_event, self._relists, self._rejects
        )

    async def run(self, emit: Emit) -> None:
        """Ends by cancellation only."""
        while True:
            try:
                if not self._version:
                    await self._list(emit)
                await self._follow(emit)
            except (ResourceExpired, ApiForbidden, ApiUnavailable, ApiRefused, ApiConflict, NotKubernetes) as error:
                if self._unreachable and not isinstance(error, ApiUnreachable):
                    self._failures = 0  # somebody answers again, so an outage has ended and its pauses with it
                self._unreachable = isinstance(error, ApiUnreachable)
                await self._recover(emit, error)

    # -- list

    async def _list(self, emit: Emit) -> None:
        try:
            await self._read(emit, PAGE)
        except ResourceExpired:
            # Paging took longer than the server keeps a version: all at once then, as client-go does.
            await self._read(emit, EVERYTHING)
        self._relists += 1
        self._told_forbidden = False
        if not self._synced:
            self._synced = True
            emit(Synced(self.scope.kind))

    async def _read(self, emit: Emit, limit: int) -> None:
        found: set[ObjectKey] = set()
        version = ""
        async for page in list_pages(self._api, self.scope, limit):
            for item in page.items:
                found.add(item.key)
                self._take(item, emit)
            version = page.version
        for key in self._known.keys() - found:
            self._drop(key, emit)
        self._last_event = self._clock.time()
        self._version = version

    # -- watch

    async def _follow(self, emit: Emit) -> None:
        if self._poll or not self._version:
            self._failures = 0
            self._connected = bool(self._poll)  # until a list fails, what is polled is as good as watched
            await self._clock.sleep(self._poll or BACKOFF_MOST)
            self._version = ""
            return
        begun = self._clock.monotonic()
        seconds = int(self._clock.uniform(*WATCH_SECONDS))
        async with self._api.watch(self.scope, self._version, seconds) as lines:
            self._connected = True
            try:
                async for line in lines:
                    self._hear(decode_line(self.scope.kind, line), emit)
            finally:
                self._connected = False
        if self._clock.monotonic() - begun < TOO_SHORT:
            raise ApiUnavailable("the watch ended at once")
        self._succeed()

    def _hear(self, line: Line, emit: Emit) -> None:
        match line.verb:
            case Verb.EXPIRED:
                raise ResourceExpired(line.reason)
            case Verb.FAILED:
                self._version = ""
                raise ApiUnavailable(line.reason)
        self._last_event = self._clock.time()
        self._version = line.version or self._version
        self._succeed()
        if line.decoded is not None and line.verb is Verb.DELETED:
            self._drop(line.decoded.key, emit)
        elif line.decoded is not None:
            self._take(line.decoded, emit)

    def _take(self, item: Decoded, emit: Emit) -> None:
        if item.version and self._known.get(item.key) == item.version:
            return
        self._known[item.key] = item.version
        if item.object is not None:
            emit(Applied(item.key, item.object))
        elif item.finding is not None:
            self._rejects += 1
            emit(Rejected(item.key, item.finding))

    def _drop(self, key: ObjectKey, emit: Emit) -> None:
        self._known.pop(key, None)
        emit(Deleted(key))

    # -- faults

    async def _recover(self, emit: Emit, error: HeadraceError | NotKubernetes) -> None:
        self._connected = False
        match error:
            case ResourceExpired():
                self._version = ""
                logger.info("watch expired, listing anew", extra={"scope": str(self.scope)})
                if self._expired:
                    await self._pause(error)
                self._expired = True
            case ApiForbidden():
                await self._be_forbidden(emit, error)
            case ApiUnavailable():
                await self._pause(error)
            case _:
                self._version = ""
                await self._pause(error)

    async def _be_forbidden(self, emit: Emit, error: ApiForbidden) -> None:
        """What was read before stays: a right that is taken away for a moment must not take traffic down."""
        self._version = ""
        if self._synced or self._failures + 1 < FORBIDDEN_TRIES:
            await self._pause(error)
            return
        self._failures += 1
        if not self._told_forbidden:
            self._told_forbidden = True
            logger.warning("forbidden", extra={"scope": str(self.scope), "error": str(error)})
            emit(Unreadable(self.scope.kind))
        await self._clock.sleep(self._clock.uniform(*FORBIDDEN_SECONDS))

    async def _pause(self, error: HeadraceError | NotKubernetes) -> None:
        self._failures += 1
        delay = backoff(self._failures, self._clock.uniform, error)
        level = logging.WARNING if self._failures in (1, 5) else logging.DEBUG
        fields = {"scope": str(self.scope), "error": str(error), "retry_seconds": round(delay, 1)}
        logger.log(level, "API server does not answer as it should", extra=fields)
        await self._clock.sleep(delay)

    def _succeed(self) -> None:
        self._expired = False
        if self._failures > 1:
            logger.info("watch goes on", extra={"scope": str(self.scope), "failures": self._failures})
        self._failures = 0
