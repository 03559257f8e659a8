"""Objects that somebody refers to by name and that no watch of a whole kind brings, such as Secrets of other types.

Each gets a watch of its own, so that a new Secret is served as fast as any other change; beyond a bound, the rest is
asked for now and then. What is not wanted any more is forgotten. Never all Secrets, only those with a user.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from controller.model.refs import ObjectKey
from controller.sources.base import PAGE, Api, Emit
from controller.sources.reflector import Clock, Reflector, WatchStats
from controller.sources.scope import Scope
from controller.state.events import Deleted, Event, Synced, Unreadable

WATCHES_AT_MOST = 200
POLL_SECONDS = 30.0
LOOKS_AT_ONCE = 20
"""A cluster may name thousands of Secrets that do not exist; asked for all together, the API server refuses most."""


class _FewAtOnce:
    """The same API, with so many lists under way at most."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._turn = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def list_page(self, scope: Scope, more: str = "", limit: int = PAGE) -> bytes:
        async with self._turn:
            return await self._api.list_page(scope, more, limit)

    def watch(self, scope: Scope, version: str, seconds: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._api.watch(scope, version, seconds)


@dataclass(slots=True)
class _Follower:
    reflector: Reflector
    task: asyncio.Task[None]
    looked: asyncio.Event = field(default_factory=asyncio.Event)


class ByName:
    """Owned by the event loop. `is_brought` tells which objects come by another watch."""

    def __init__(
        self, api: Api, emit: Emit, is_brought: Callable[[ObjectKey], bool], *, clock: Clock | None = None
    ) -> None:
        self._api: Api = _FewAtOnce(api)
        self._emit = emit
        self._is_brought = is_brought
        self._clock = clock
        self._wanted: frozenset[ObjectKey] = frozenset()
        self._news, self._settled = asyncio.Event(), asyncio.Event()
        self._followed: dict[ObjectKey, _Follower] = {}

    @property
    def stats(self) -> tuple[WatchStats, ...]:
        return tuple(follower.reflector.stats for follower in tuple(self._followed.values()))

    def has(self, key: ObjectKey) -> bool:
        """Whether the object exists, as far as a watch of its own knows."""
        follower = self._followed.get(key)
        return follower is not None and key in follower.reflector.keys

    def look_again(self, key: ObjectKey) -> None:
        """Another watch has brought or lost the object."""
        if key in self._wanted:
            self._news.set()

    def want(self, keys: frozenset[ObjectKey]) -> None:
        """From now on these."""
        self._wanted = keys
        self._settled.clear()
        self._news.set()

    async def looked(self) -> None:
        """Returns when all that is wanted was looked at once, found or not."""
        await self._settled.wait()
        await asyncio.gather(*(follower.looked.wait() for follower in self._followed.values()))

    async def run(self) -> None:
        """Ends by cancellation only."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                missing = {key for key in self._wanted if not self._is_brought(key)}
                for key in self._followed.keys() - missing:
                    self._leave(key)
                for key in sorted(missing - self._followed.keys()):
                    self._start(key, group)
                self._settled.set()

    def _start(self, key: ObjectKey, group: asyncio.TaskGroup) -> None:
        poll = 0.0 if len(self._followed) < WATCHES_AT_MOST else POLL_SECONDS
        reflector = Reflector(Scope.of_object(key), self._api, clock=self._clock, poll=poll)
        looked = asyncio.Event()

        def emit(event: Event) -> None:
            if isinstance(event, Synced | Unreadable):
                looked.set()
            elif not (isinstance(event, Deleted) and self._is_brought(key)):
                self._emit(event)

        task = group.create_task(reflector.run(emit), name=f"watch {key}")
        self._followed[key] = _Follower(reflector, task, looked)

    def _leave(self, key: ObjectKey) -> None:
        follower = self._followed.pop(key)
        follower.task.cancel()
        follower.looked.set()
        if not self._is_brought(key):
            self._emit(Deleted(key))
