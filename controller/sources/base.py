"""What every source of objects is, and what the sources of a cluster need of the API server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from controller.sources.scope import Scope
from controller.state.events import Event

Emit = Callable[[Event], None]

PAGE = 500
"""Objects in one page of a list: decoded in 3 to 4 ms, so the event loop does not stall."""

EVERYTHING = 0
"""A page that has no end."""


class Source(Protocol):
    """`run` tells everything that exists, then `Synced` for each kind, then changes; it ends by cancellation only."""

    async def run(self, emit: Emit) -> None: ...


class Api(Protocol):
    """Bytes of the API server. Calls raise the `Api…` errors and `ResourceExpired`."""

    async def list_page(self, scope: Scope, more: str = "", limit: int = PAGE) -> bytes:
        """One page; `more` is the token of the page before."""
        ...

    def watch(self, scope: Scope, version: str, seconds: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Lines of JSON, from `version` on, for so many seconds."""
        ...
