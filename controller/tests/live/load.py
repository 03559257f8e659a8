"""Load for live tests: clients with kept connections that check every answer, on an event loop of their own.

What counts as a failure is what a user would see: a status other than 200, an answer that belongs to another
request, a reset, an end without answer, silence. What does not: an answer that announces `Connection: close`, and an
idle connection that was closed before the client began to use it again, as every HTTP client has to bear (RFC 9112,
section 9.6).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
import time
from dataclasses import dataclass, field

PATIENCE = 10.0
BODY = b"x" * 300


def seconds() -> float:
    """How long each load lasts: short in `make test`, a minute in `make e2e`."""
    return float(os.environ.get("HEADRACE_LOAD_SECONDS", "12"))


@dataclass
class Tally:
    """What the clients saw. Times are in seconds; `failures` are (seconds since the start, words)."""

    requests: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)
    announced_closes: int = 0
    idle_closes: int = 0
    connects: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def slowest(self) -> float:
        return max(self.seconds, default=0.0)

    def slower_than(self, seconds: float) -> int:
        return sum(took > seconds for took in self.seconds)

    def __str__(self) -> str:
        ordered = sorted(self.seconds) or [0.0]
        median = ordered[len(ordered) // 2]
        return (
            f"{self.requests} requests, {len(self.failures)} failed, slowest {self.slowest:.2f} s, "
            f"median {median * 1000:.1f} ms, {self.slower_than(0.1)} over 0.1 s, {self.slower_than(1.0)} over 1 s; "
            f"closes: {self.announced_closes} announced, {self.idle_closes} while idle; {self.connects} connections"
        )


class Load:
    """`with Load(port, "host") as load:` runs clients until the block ends; then `load.tally` is complete."""

    def __init__(
        self, port: int, host: str, *, clients: int = 6, pause: float = 0.005, path: str = "/load", posts: bool = True
    ) -> None:
        """Every second request is a POST. `pause` is between the requests of one client."""
        self._port, self._host, self._clients, self._pause, self._path = port, host, clients, pause, path
        self._posts = posts
        self._numbers = itertools.count()
        self._over = threading.Event()
        self.tally = Tally()

    def __enter__(self) -> Load:
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self._clients)))

    async def _client(self) -> None:
        connection: _Connection | None = None
        while not self._over.is_set():
            if connection is not None and connection.ended:
                self.tally.idle_closes += 1
                connection.close()
                connection = None
            connection = await self._once(connection)
            await asyncio.sleep(self._pause)
        if connection is not None:
            connection.close()

    async def _once(self, connection: _Connection | None) -> _Connection | None:
        """One request; the connection to use next, if it may be used again."""
        number = next(self._numbers)
        post = self._posts and number % 2 == 1
        begun = time.monotonic()
        self.tally.requests += 1
        try:
            async with asyncio.timeout(PATIENCE):
                if connection is None:
                    connection = await _connect(self._port)
                    self.tally.connects += 1
                wrong, kept = await connection.ask(self._host, f"{self._path}/{number}", post=post)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as fault:
            wrong, kept = f"{type(fault).__name__}: {fault}", False
        else:
            self.tally.announced_closes += not kept
        self.tally.seconds.append(time.monotonic() - begun)
        if wrong:
            method = "POST" if post else "GET"
            took = self.tally.seconds[-1]
            self.tally.failures.append((round(begun - self._begun, 3), f"{method} after {took:.3f} s: {wrong}"))
        if connection is not None and not kept:
            connection.close()
            return None
        return connection


async def _connect(port: int) -> _Connection:
    return _Connection(*await asyncio.open_connection("127.0.0.1", port))


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def ended(self) -> bool:
        """Whether the other side has closed."""
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.transport.abort()

    async def ask(self, host: str, target: str, *, post: bool) -> tuple[str, bool]:
        """What is wrong with the answer, in words, and whether the connection may be used again."""
        head = f"{'POST' if post else 'GET'} {target} HTTP/1.1\r\nHost: {host}\r\n"
        head += f"Content-Length: {len(BODY)}\r\n\r\n" if post else "\r\n"
        self._writer.write(head.encode() + (BODY if post else b""))
        status, headers, body = await self._answer()
        kept = headers.get("connection", "").lower() != "close"
        if status != 200:
            return f"status {status}", kept
        seen = json.loads(body)
        right = seen["target"] == target and seen["body"] == (BODY.decode() if post else "")
        return "" if right else f"an answer to {seen['target']}", kept

    async def _answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "chunked" in headers.get("transfer-encoding", ""):
            return int(first.split(" ")[1]), headers, await self._chunks()
        return int(first.split(" ")[1]), headers, await self._reader.readexactly(int(headers["content-length"]))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body
