"""How late the event loop comes to its turn: the first thing to look at when anything is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Never


async def sample_loop_lag(record: Callable[[float], None], interval: float = 0.25) -> Never:
    """Tell `record` every `interval` seconds by how many seconds the loop overslept. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval
        await asyncio.sleep(interval)
        record(max(0.0, loop.time() - due))
