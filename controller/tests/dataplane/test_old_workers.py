"""Old workers of a real nginx: counted, measured, waited for, and ended when there are too many for too long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from controller.dataplane.driver import DataPlane
from controller.dataplane.old_workers import Budget, OldWorkers, look
from controller.dataplane.pace import Replica
from controller.dataplane.procfs import accepting_workers_of, connections_of
from controller.dataplane.result import ApplyResult, Outcome
from controller.dataplane.turn import Cause, ReloadLimits
from controller.model.layout import Layout
from controller.tests.dataplane.conftest import fragments_for, get, host, new_plane

pytestmark = pytest.mark.nginx

MIB = 1 << 20


@asynccontextmanager
async def stream_of(layout: Layout) -> AsyncIterator[int]:
    """A backend that answers one byte every 50 ms, for ever; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while True:
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


class Client:
    """Reads a stream through nginx."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, layout: Layout) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", layout.http_port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    async def ends(self, within: float) -> bool:
        with suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(within):
                while await self.reader.read(1_000):
                    pass
                return True
        return False

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def change(plane: DataPlane, layout: Layout, backend: int, text: str) -> ApplyResult:
    """Serve `text`, when nginx may be reloaded."""
    body = f"location /stream {{ proxy_pass http://127.0.0.1:{backend}; proxy_buffering off; }}"
    wanted = fragments_for(layout, host("a", text, layout.http_port, body))
    assert await plane.may_apply(wanted, asyncio.Event())
    result = await plane.apply(wanted, "edit")
    assert result.outcome is Outcome.APPLIED
    assert await get(layout.http_port, "a") == (200, text)
    return result


async def settled(plane: DataPlane, count: int) -> OldWorkers:
    for _ in range(100):
        found = look(plane.pid)
        if found.count == count:
            break
        await asyncio.sleep(0.02)
    return look(plane.pid)


async def test_a_long_lived_connection_keeps_a_worker_that_is_counted(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    async with stream_of(layout) as backend:
        await change(plane, layout, backend, "one")
        assert look(plane.pid) == OldWorkers()
        clients = [await Client.connect(layout) for _ in range(3)]
        assert look(plane.pid) == OldWorkers(), "a worker that is not retired is not old"
        before = accepting_workers_of(plane.pid)
        await change(plane, layout, backend, "two")
        assert not before & accepting_workers_of(plane.pid)
        found = await settled(plane, 1)
        assert (found.count, found.connections) == (1, 3)
        assert 0.2 * MIB < found.memory < 64 * MIB
        for client in clients:
            await client.close()
        assert await settled(plane, 0) == OldWorkers()


async def test_connections_are_counted_about(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    async with stream_of(layout) as backend:
        await change(plane, layout, backend, "one")
        workers = accepting_workers_of(plane.pid)
        assert connections_of(plane.pid, workers) == 0
        clients = [await Client.connect(layout) for _ in range(30)]
        assert 45 <= connections_of(plane.pid, workers) <= 60, "each has one to its pod, too"
        for client in clients:
            await client.close()
    assert connections_of(plane.pid, ()) == 0


PATIENT = ReloadLimits(interval=0.0, budget=Budget(workers=1, memory=0), patience=60.0)


async def test_a_reload_waits_for_old_workers_and_comes_as_soon_as_there_is_room(layout: Layout) -> None:
    plane = new_plane(layout, PATIENT)
    try:
        await plane.start_last_good()
        async with stream_of(layout) as backend:
            await change(plane, layout, backend, "one")
            client = await Client.connect(layout)
            assert "wait" not in (await change(plane, layout, backend, "two")).timings
            third = asyncio.create_task(change(plane, layout, backend, "three"))
            await asyncio.sleep(1.0)
            assert not third.done()
            assert await get(layout.http_port, "a") == (200, "two")
            await client.close()
            async with asyncio.timeout(10):
                assert (await third).timings["wait"] > 0.9
            assert (plane.turn.ended, plane.turn.delayed) == (0, {Cause.OLD_WORKERS: 1})
    finally:
        await plane.stop(0.5)


@pytest.mark.parametrize("budget", [Budget(workers=2, memory=0), Budget(workers=0, memory=1)])
async def test_after_a_while_the_oldest_is_ended_and_no_other(layout: Layout, budget: Budget) -> None:
    plane = new_plane(layout, ReloadLimits(interval=0.0, budget=Budget(2, 0), patience=60.0))
    try:
        await plane.start_last_good()
        async with stream_of(layout) as backend:
            await change(plane, layout, backend, "one")
            oldest = await Client.connect(layout)
            await asyncio.sleep(1.2)  # generations are told apart by the second
            await change(plane, layout, backend, "two")
            younger = await Client.connect(layout)
            await change(plane, layout, backend, "three")
            assert (await settled(plane, 2)).connections == 2
            plane.turn.limits = ReloadLimits(interval=0.0, budget=budget, patience=0.5)
            async with asyncio.timeout(10):
                assert (await change(plane, layout, backend, "four")).timings["wait"] >= 0.5
            assert await oldest.ends(within=1.0)
            only_one = bool(budget.workers)
            assert await younger.ends(within=0.5) is not only_one
            assert plane.turn.ended == (1 if only_one else 2)
            await younger.close()
    finally:
        await plane.stop(0.5)


async def test_what_changes_while_a_reload_waits_comes_along(layout: Layout) -> None:
    plane = new_plane(layout, PATIENT)
    try:
        await plane.start_last_good()
        async with stream_of(layout) as backend:
            await change(plane, layout, backend, "one")
            client = await Client.connect(layout)
            await change(plane, layout, backend, "two")
            wanted = fragments_for(layout, host("a", "three", layout.http_port))
            changed = asyncio.Event()
            asyncio.get_running_loop().call_later(0.3, changed.set)
            begun = time.monotonic()
            assert not await plane.may_apply(wanted, changed)
            assert time.monotonic() - begun >= 0.3
            served = fragments_for(layout, host("a", "two", layout.http_port))
            assert plane.turn.delayed == {}
            await client.close()
            await settled(plane, 0)
            changed.clear()
            assert await plane.may_apply(served, changed)
    finally:
        await plane.stop(0.5)


async def test_a_replica_waits_for_its_turn_and_then_reloads(layout: Layout) -> None:
    plane = new_plane(layout, ReloadLimits(interval=0.0, turn=0.7))
    try:
        await plane.start_last_good()
        async with stream_of(layout) as backend:
            await change(plane, layout, backend, "one")
            now = time.time() % 1.4 < 0.7
            plane.turn.replica = Replica(1 if now else 0, 2)
            assert (await change(plane, layout, backend, "two")).timings["wait"] > 0.0
            assert plane.turn.delayed == {Cause.REPLICAS: 1}
    finally:
        await plane.stop(0.5)
