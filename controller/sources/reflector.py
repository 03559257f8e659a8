"""Keeps one scope of objects in step with the API server: a paged list, then a watch that goes on where it ended.

Guarantees: no fault takes back what was told; objects that vanished while we could not watch are told as deleted once
two lists lack them, since an answer may be wrong; nobody is asked in a tight loop. A watch that ends or breaks goes on
from the last version seen; only a version that is gone (410) or events out of order cost a new list. Being forbidden is
told once and tried again slowly.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, KeysView
from dataclasses import dataclass
from typing import NamedTuple

from controller.k8s.codec import Decoded
from controller.k8s.pages import Line, NotKubernetes, Verb, decode_line
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
from controller.sources.lists import is_older, list_pages
from controller.sources.scope import Scope
from controller.state.events import Applied, Deleted, Rejected, Synced, Unreadable

logger = logging.getLogger(__name__)

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 10.0
"""So that changes arrive within some ten seconds of the end of any trouble. client-go waits for half a minute; with one
watch for each kind and few replicas, three times as many tries are still none that an API server would notice."""

BACKOFF_UNREACHABLE = 5.0
"""A connection that is refused is no load for the server, and changes shall arrive soon after an outage."""

TOLD = (1, 5)
TOLD_EVERY = 30
"""Failures in a row that are warned about: these, and each 30th, which is every five minutes at the longest pauses."""

RETRY_AFTER_MOST = 300.0
WATCH_SECONDS = (240, 290)
FORBIDDEN_SECONDS = (30.0, 60.0)
FORBIDDEN_TRIES = 4
"""An API server that has just started may forbid everything until it knows the roles, so one 403 proves nothing."""

WATCH_TRIES = 4
"""Answers in a row that are no watch, after which the version is given up: the server may dislike that alone."""

TOO_SHORT = 1.0
"""Seconds below which a watch that ended counts as failed, whatever it told."""

SECOND_LOOK = 2.0
"""Seconds after which a list is read again that lacks what is known. ingress-nginx takes routes away at once then."""

OLD_LISTS = 3
"""So many lists in a row must be older than what is known to be believed: then etcd was restored from a backup."""


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
        self._version = self._newest = ""
        self._synced = self._told_forbidden = self._expired = self._unreachable = False
        self._failures = self._relists = self._rejects = self._old_lists = 0
        self._connected = False
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
        version, found = await self._read(emit)
        if missing := self._known.keys() - found:
            logger.info("objects missing, listing again", extra={"scope": str(self.scope), "objects": len(missing)})
            await self._clock.sleep(SECOND_LOOK)
            _, again = await self._read(emit)
            for key in missing - again:
                self._drop(key, emit)
        # The watch begins at the first list, so that it tells what was deleted between the two.
        self._version = version
        self._relists += 1
        self._told_forbidden = False
        if not self._synced:
            self._synced = True
            emit(Synced(self.scope.kind))

    async def _read(self, emit: Emit) -> tuple[str, set[ObjectKey]]:
        """Version and keys of a list, whose objects are told page by page."""
        try:
            return await self._read_pages(emit, PAGE)
        except ResourceExpired:
            # Paging took longer than the server keeps a version: all at once then, as client-go does.
            return await self._read_pages(emit, EVERYTHING)

    async def _read_pages(self, emit: Emit, limit: int) -> tuple[str, set[ObjectKey]]:
        found: set[ObjectKey] = set()
        version = ""
        async for page in list_pages(self._api, self.scope, limit):
            version = page.version
            self._refuse_if_old(version)
            for item in page.items:
                found.add(item.key)
                self._take(item, emit)
        self._old_lists = 0
        self._last_event = self._clock.time()
        self._newest = version
        return version, found

    def _refuse_if_old(self, version: str) -> None:
        if is_older(version, self._newest) and self._old_lists < OLD_LISTS - 1:
            self._old_lists += 1
            raise ApiUnavailable(f"a list of version {version}, older than {self._newest}")

    # -- watch

    async def _follow(self, emit: Emit) -> None:
        if self._poll or not self._version:
            self._failures = 0
            self._connected = bool(self._poll)  # until a list fails, what is polled is as good as watched
            await self._clock.sleep(self._poll or BACKOFF_MOST)
            self._version = ""
            return
        seconds = int(self._clock.uniform(*WATCH_SECONDS))
        async with self._api.watch(self.scope, self._version, seconds) as lines:
            good = self._clock.monotonic() + TOO_SHORT
            self._connected = True
            try:
                async for line in lines:
                    self._hear(decode_line(self.scope.kind, line), emit)
                    self._succeed_after(good)
            finally:
                self._connected = False
                self._succeed_after(good)
        if self._clock.monotonic() < good:
            raise ApiUnavailable("the watch ended at once")

    def _hear(self, line: Line, emit: Emit) -> None:
        match line.verb:
            case Verb.EXPIRED:
                raise ResourceExpired(line.reason)
            case Verb.FAILED:
                self._version = ""
                raise ApiUnavailable(line.reason)
        if is_older(line.version, self._version):
            raise ResourceExpired(f"an event of version {line.version} after {self._version}")
        self._last_event = self._clock.time()
        self._version = self._newest = line.version or self._version
        if line.decoded is None or is_older(line.version, self._known.get(line.decoded.key, "")):
            return  # a bookmark, or a second list told more already
        if line.verb is Verb.DELETED:
            self._drop(line.decoded.key, emit)
        else:
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
                if self._failures >= WATCH_TRIES and not isinstance(error, ApiUnreachable):
                    self._version = ""
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
        told = self._failures in TOLD or self._failures % TOLD_EVERY == 0
        level = logging.WARNING if told else logging.DEBUG
        fields = {"scope": str(self.scope), "error": str(error), "failures": self._failures}
        fields |= {"retry_seconds": round(delay, 1)}
        logger.log(level, "API server does not answer as it should", extra=fields)
        await self._clock.sleep(delay)

    def _succeed_after(self, moment: float) -> None:
        """A watch that has lasted until then ends what went wrong before."""
        if self._clock.monotonic() < moment:
            return
        self._expired = False
        if self._failures > 1:
            logger.info("watch goes on", extra={"scope": str(self.scope), "failures": self._failures})
        self._failures = 0
