"""The probe against a socket whose answers we choose."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest

from controller.dataplane.probe import ask_generation, probe
from controller.model.errors import ProbeTimeout


async def answering(path: Path, bodies: Iterator[bytes]) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + next(bodies))
        writer.close()

    return await asyncio.start_unix_server(answer, path)


async def test_one_new_answer_among_old_ones_proves_nothing(root: Path) -> None:
    asked = 0

    def count(bodies: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal asked
        for body in bodies:
            asked += 1
            yield body

    mixed = chain([b"1", b"2", b"2", b"1", b"2"], repeat(b"2"))
    async with await answering(root / "s", count(mixed)):
        await probe(str(root / "s"), 2)
    assert asked == 4 + 5


async def test_answers_that_agree_outlast_the_old_workers(root: Path) -> None:
    loop = asyncio.get_running_loop()
    async with await answering(root / "s", repeat(b"2")):
        begun = loop.time()
        await probe(str(root / "s"), 2)
        assert loop.time() - begun > 0.1


@pytest.mark.parametrize(("body", "says"), [(b"1", "generation 1 still answers"), (b"x", "nothing answers")])
async def test_the_deadline(root: Path, body: bytes, says: str) -> None:
    async with await answering(root / "s", repeat(body)):
        with pytest.raises(ProbeTimeout, match=says):
            await probe(str(root / "s"), 2, deadline=0.1)


async def test_no_socket_and_a_silent_one(root: Path) -> None:
    assert await ask_generation(str(root / "s")) is None
    with pytest.raises(ProbeTimeout, match="nothing answers"):
        await probe(str(root / "s"), 2, deadline=0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(silent, root / "s"):
        with pytest.raises(ProbeTimeout, match="nothing answers"):
            await probe(str(root / "s"), 2, deadline=0.1)
