"""The DNS server on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from controller.endpoints.responder import Responder


def shout(data: bytes) -> bytes | None:
    return None if data == b"silence" else data.upper()


@pytest_asyncio.fixture
async def responder() -> AsyncIterator[Responder]:
    server = Responder(shout, lambda data: b"tcp:" + data if data != b"end" else None)
    await server.start()
    yield server
    await server.stop()


async def over_udp(port: int, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        await loop.sock_connect(asker, ("127.0.0.1", port))
        await loop.sock_sendall(asker, data)
        return await asyncio.wait_for(loop.sock_recv(asker, 4096), 2)


async def test_every_socket_answers(responder: Responder) -> None:
    assert len(set(responder.addresses)) == 8
    for port in responder.ports:
        assert await over_udp(port, b"hello") == b"HELLO"
    assert responder.queries == 8


async def test_a_burst_is_not_lost(responder: Responder) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        asker.connect(("127.0.0.1", responder.ports[0]))
        for number in range(200):
            asker.send(b"%d" % number)
        got = {await asyncio.wait_for(loop.sock_recv(asker, 99), 2) for _ in range(200)}
    assert len(got) == 200


async def test_tcp_takes_messages_in_pieces_and_many_in_one(responder: Responder) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", responder.ports[3])
    for piece in (b"\0", b"\3on", b"e\0\3two\0\5thr", b"ee"):
        writer.write(piece)
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(reader.readexactly(27), 2) == b"\0\7tcp:one\0\7tcp:two\0\x09tcp:three"[:27]
    writer.write(b"\0\3end")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await asyncio.wait_for(reader.readexactly(3), 2)
    writer.close()


async def test_ports_of_the_last_run_are_taken_again(responder: Responder) -> None:
    ports = responder.ports
    await responder.stop()
    again = Responder(shout, shout)
    await again.start(ports)
    try:
        assert again.ports == ports
    finally:
        await again.stop()


async def test_a_port_in_use_is_replaced(responder: Responder) -> None:
    other = Responder(shout, shout)
    await other.start([responder.ports[0], 70_000], sockets=3)
    try:
        assert len(other.ports) == 3 and not set(other.ports) & set(responder.ports)
        assert await over_udp(other.ports[0], b"x") == b"X"
    finally:
        await other.stop()


async def test_too_many_connections_are_closed_and_the_rest_served(responder: Responder) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", responder.ports[0]) for _ in range(70)]
    closed = 0
    for reader, writer in opened:
        writer.write(b"\0\1x")
        try:
            await asyncio.wait_for(reader.readexactly(7), 2)
        except (asyncio.IncompleteReadError, ConnectionError):
            closed += 1
    assert closed == 6
    for _, writer in opened:
        writer.close()


async def test_an_idle_connection_is_closed(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.endpoints.responder._IDLE_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", responder.ports[0])
    writer.write(b"\0\3on")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await asyncio.wait_for(reader.readexactly(1), 2)
    writer.close()
