"""When the loop builds: soon after one change, once for many, and again for what comes while a reload has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from controller.dataplane.result import ApplyResult, Outcome
from controller.model.fragments import Fragment, FragmentSet
from controller.model.secretbytes import SecretBytes
from controller.reconcile import Reconciler, Round
from controller.state.snapshot import Snapshot


class World:
    """A number that objects say, what was built of it, and a data plane that may have to wait for its turn."""

    def __init__(self) -> None:
        self.number = 0
        self.built: list[int] = []
        self.applied: list[int] = []
        self.certificates: list[int] = []
        self.free = asyncio.Event()
        self.free.set()

    def build(self, snapshot: Snapshot, now: int) -> tuple[Any, FragmentSet]:
        self.built.append(self.number)
        main = SimpleNamespace(enable_serial_reloads=False)
        configuration = SimpleNamespace(main=main, certificates={}, files={"number": b"%d" % self.number})
        return SimpleNamespace(configuration=configuration), FragmentSet.of([Fragment("nginx.conf", str(self.number))])

    async def may_apply(self, fragments: FragmentSet, changed: asyncio.Event, *, serial: bool) -> bool:
        free, change = asyncio.ensure_future(self.free.wait()), asyncio.ensure_future(changed.wait())
        await asyncio.wait([free, change] if not self.free.is_set() else [free], return_when=asyncio.FIRST_COMPLETED)
        free.cancel()
        change.cancel()
        return self.free.is_set()

    async def apply(self, fragments: FragmentSet, reason: str) -> ApplyResult:
        self.applied.append(int(fragments.fragments["nginx.conf"].text))
        return ApplyResult(len(self.applied), Outcome.APPLIED, reload_reason=reason)

    async def write_certificates(self, files: Mapping[str, SecretBytes | bytes]) -> tuple[str, ...]:
        number = files["number"]
        assert isinstance(number, bytes)
        self.certificates.append(int(number))
        return ()


@asynccontextmanager
async def loop_over(world: World) -> AsyncIterator[Reconciler]:
    async def publish(_: Round) -> None:
        pass

    builder: Any = world
    reconciler = Reconciler(builder, world, Snapshot, publish)
    running = asyncio.create_task(reconciler.run())
    yield reconciler
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_many_changes_are_built_once() -> None:
    world = World()
    async with loop_over(world) as reconciler:
        for number in range(100):
            world.number = number
            reconciler.mark_dirty()
            await asyncio.sleep(0)
        await until(lambda: world.applied)
    assert world.built == world.applied == [99]


async def test_changes_that_never_end_are_built_all_the_same() -> None:
    world = World()
    async with loop_over(world) as reconciler:
        while len(world.applied) < 2:
            world.number += 1
            reconciler.mark_dirty()
            await asyncio.sleep(0.002)
    assert world.number > 20


async def test_what_comes_while_a_reload_waits_goes_along_and_certificates_are_written_at_once() -> None:
    world = World()
    world.free.clear()
    async with loop_over(world) as reconciler:
        for number in (1, 2, 3):
            world.number = number
            reconciler.mark_dirty()
            await until(lambda n=number: world.certificates[-1:] == [n])
        assert world.applied == []
        world.free.set()
        await until(lambda: world.applied)
    assert (world.built, world.applied) == ([1, 2, 3], [3])
