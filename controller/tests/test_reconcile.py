"""A build that fails is counted and costs nothing else; the next change is built again."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.model.fragments import FragmentSet
from controller.reconcile import Reconciler
from controller.state.snapshot import Snapshot


class Broken:
    """A builder with a bug."""

    def build(self, snapshot: Snapshot, now: int) -> Any:
        raise ValueError("a bug")


async def test_a_failed_build_is_counted_and_the_loop_goes_on() -> None:
    counted = asyncio.Semaphore(0)

    async def publish(_: object) -> None:
        raise AssertionError("nothing was applied")

    nothing: Any = FragmentSet.of([])
    builder: Any = Broken()
    reconciler = Reconciler(builder, nothing, Snapshot, publish, counted.release)
    running = asyncio.create_task(reconciler.run())
    for _ in range(2):
        reconciler.mark_dirty()
        async with asyncio.timeout(5):
            await counted.acquire()
    assert reconciler.failures == 2
    running.cancel()
