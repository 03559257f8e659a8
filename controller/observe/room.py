"""Places for clients of a port that anybody in the cluster can reach.

When all are taken, a newcomer gets the place of the oldest client of the address that holds most. So one address that
takes all it can get only ever ends its own connections, and a probe of the kubelet, which comes from another one,
always finds a place.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class _Client(NamedTuple):
    address: str
    task: asyncio.Task[None] | None


class Room:
    """At most `places` clients at a time. Owned by the event loop."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._inside: dict[asyncio.StreamWriter, _Client] = {}

    def __len__(self) -> int:
        return len(self._inside)

    @contextmanager
    def place(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Holds a place for the block. Whoever has to make room for it is cut off, and the task that serves it ends:
        answers that nobody will read would else be made without bound, all at the same time."""
        if len(self._inside) >= self._places:
            self._make_room()
        peer = writer.get_extra_info("peername")
        self._inside[writer] = _Client(peer[0] if peer else "", asyncio.current_task())
        try:
            yield
        finally:
            self._inside.pop(writer, None)

    def _make_room(self) -> None:
        greediest = Counter(client.address for client in self._inside.values()).most_common(1)[0][0]
        oldest = next(writer for writer, client in self._inside.items() if client.address == greediest)
        task = self._inside.pop(oldest).task
        oldest.transport.abort()
        if task:
            task.cancel()
