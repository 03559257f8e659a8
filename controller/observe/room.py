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


class Room:
    """At most `places` clients at a time. Owned by the event loop."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._inside: dict[asyncio.StreamWriter, str] = {}

    def __len__(self) -> int:
        return len(self._inside)

    @contextmanager
    def place(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Holds a place for the block. Whoever has to make room for it is cut off, which its own reads and writes
        notice."""
        if len(self._inside) >= self._places:
            self._make_room()
        peer = writer.get_extra_info("peername")
        self._inside[writer] = peer[0] if peer else ""
        try:
            yield
        finally:
            self._inside.pop(writer, None)

    def _make_room(self) -> None:
        greediest = Counter(self._inside.values()).most_common(1)[0][0]
        oldest = next(writer for writer, address in self._inside.items() if address == greediest)
        del self._inside[oldest]
        oldest.transport.abort()
