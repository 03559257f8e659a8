"""What every source of objects is: something that tells events until it is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from controller.state.events import Event

Emit = Callable[[Event], None]


class Source(Protocol):
    """`run` tells everything that exists, then `Synced` for each kind, then changes; it ends by cancellation only."""

    async def run(self, emit: Emit) -> None: ...
