"""The probe against a socket whose answers we choose."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
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


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a worker of nginx which takes connections."""
    with subprocess.Popen(["nginx: worker process", "60"], executable=shutil.which("sleep")) as process:
        yield process
        process.kill()


async def test_no_answer_counts_while_a_worker_from_before_accepts(root: Path, worker: subprocess.Popen[bytes]) -> None:
    async with await answering(root / "s", repeat(b"2")):
        proof = asyncio.create_task(probe(str(root / "s"), 2, before=frozenset({worker.pid})))
        await asyncio.sleep(0.4)
        assert not proof.done()
        worker.kill()
        async with asyncio.timeout(2):
            await proof


async def test_workers_that_never_retire_prove_nothing(root: Path, worker: subprocess.Popen[bytes]) -> None:
    async with await answering(root / "s", repeat(b"1")):
        with pytest.raises(ProbeTimeout, match="generation 1 still answers"):
            await probe(str(root / "s"), 2, deadline=0.3, before=frozenset({worker.pid}))


async def test_once_they_are_gone_one_answer_is_enough(root: Path, worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    async with await answering(root / "s", chain([b"1", b"2"], repeat(b"3"))):
        await probe(str(root / "s"), 2, before=frozenset({worker.pid}))


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
