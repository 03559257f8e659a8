"""Load from the test process for as long as a block lasts, and at least for a number of requests."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Self

from e2e.cluster.app.client import Load, Place, Tally

ENOUGH_SECONDS = 120.0
"""After this time a load ends, even if it has not sent as many requests as were wanted."""


class Running:
    """`with Running(place) as load:` sends until the block has ended and `at_least` requests were sent.

    Then `load.tally` is complete. A failing block ends the load at once.
    """

    def __init__(
        self, place: Place, *, at_least: int = 0, clients: int = 8, pause: float = 0.004, posts: bool = True
    ) -> None:
        self._load = Load(place, clients=clients, pause=pause, posts=posts)
        self._at_least = at_least
        self._ended = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._load.run(self._over)), daemon=True)

    @property
    def tally(self) -> Tally:
        return self._load.tally

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._at_least = 0
        self._deadline = time.monotonic() + ENOUGH_SECONDS
        self._ended.set()
        self._thread.join()

    def seconds(self) -> float:
        """Since the load began, as in the words about failures."""
        return time.monotonic() - self._begun

    def _over(self) -> bool:
        if not self._ended.is_set():
            return False
        return self.tally.sent >= self._at_least or time.monotonic() > self._deadline
