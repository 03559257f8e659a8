"""An HTTP client of the standard library: one request, or load over kept connections.

    python client.py URL                           prints {"status", "headers", "body"}
    python client.py --seconds 10 URL              prints the tally of a load; ends with 1 if any request failed

What counts as failed is what a user would see: a status other than 200, an answer that belongs to another request, a
reset, an end without answer, silence. What does not count: an answer that announces `Connection: close`, and an idle
connection that was closed before the next request began on it, as every client has to bear (RFC 9112, section 9.6).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import ssl
import sys
import time
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

BODY = b"x" * 300


@dataclass(frozen=True)
class Answer:
    """What a client sees; header names are in lower case, of several values the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kept(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True)
class Place:
    """Where to connect, and with which name in Host and SNI. Certificates are not verified."""

    address: str
    port: int
    host: str
    tls: bool = False

    async def connect(self, timeout: float = 5) -> Connection:
        """Raise OSError (TimeoutError is one) when nobody answers in time."""
        async with asyncio.timeout(timeout):
            context = _trusting() if self.tls else None
            name = self.host.partition(":")[0] if self.tls else None
            return Connection(
                *await asyncio.open_connection(self.address, self.port, ssl=context, server_hostname=name)
            )


class Connection:
    """One kept connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def ended(self) -> bool:
        """Whether the other side has closed."""
        return self._reader.at_eof() or self._writer.is_closing()

    @property
    def local(self) -> str:
        """Our own end, to find the connection in a log or a capture."""
        address, port, *_ = self._writer.get_extra_info("sockname") or ("?", "?")
        return f"{address}:{port}"

    def close(self) -> None:
        self._writer.transport.abort()

    async def ask(
        self,
        host: str,
        target: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Raise OSError or IncompleteReadError when the connection ends before the answer does."""
        length = {"Content-Length": str(len(body))} if body else {}
        lines = [f"{name}: {value}" for name, value in ({"Host": host} | length | dict(headers or {})).items()]
        self._writer.write("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode() + body)
        return await self._answer(bodiless=method == "HEAD")

    async def _answer(self, *, bodiless: bool) -> Answer:
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if bodiless or status in (204, 304):
            return Answer(status, headers, b"")
        if "chunked" in headers.get("transfer-encoding", ""):
            return Answer(status, headers, await self._chunks())
        if "content-length" not in headers:
            return Answer(status, headers, await self._reader.read())
        return Answer(status, headers, await self._reader.readexactly(int(headers["content-length"])))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body


@dataclass
class Tally:
    """What the clients of a load saw. `failures` are words, each with its time in seconds since the start."""

    sent: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    slowest_at: float = 0.0
    slower_than_a_second: int = 0
    announced_closes: int = 0
    idle_closes: int = 0
    connects: int = 0
    pods: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.sent} requests, {len(self.failures)} failed, slowest {self.slowest:.2f} s "
            f"(at {self.slowest_at:.1f} s), {self.slower_than_a_second} over 1 s; {len(self.pods)} pods; "
            f"{self.connects} connections, closes: {self.announced_closes} announced, {self.idle_closes} while idle"
        )

    def told(self) -> str:
        """With the first failures."""
        return "\n".join([str(self), *self.failures[:20]])


class Load:
    """Clients that each keep a connection and ask again and again until `over`."""

    def __init__(
        self, place: Place, *, clients: int = 8, pause: float = 0.004, posts: bool = True, patience: float = 15
    ) -> None:
        """With `posts` every second request is a POST with a body. `pause` is between the requests of one client."""
        self._place, self._clients, self._pause, self._posts, self._patience = place, clients, pause, posts, patience
        self._numbers = itertools.count()
        self.tally = Tally()

    async def run(self, over: Callable[[], bool]) -> Tally:
        self._begun = time.monotonic()
        await asyncio.gather(*(self._client(over) for _ in range(self._clients)))
        return self.tally

    async def _client(self, over: Callable[[], bool]) -> None:
        connection: Connection | None = None
        while not over():
            if connection is not None and connection.ended:
                self.tally.idle_closes += 1
                connection.close()
                connection = None
            connection = await self._once(connection)
            await asyncio.sleep(self._pause)
        if connection is not None:
            connection.close()

    async def _once(self, connection: Connection | None) -> Connection | None:
        """One request; the connection to use next, if it may be used again."""
        number = next(self._numbers)
        method = "POST" if self._posts and number % 2 else "GET"
        begun, used, wrong, kept = time.monotonic(), connection is not None, "", False
        self.tally.sent += 1
        try:
            async with asyncio.timeout(self._patience):
                if connection is None:
                    connection = await self._place.connect(self._patience)
                    self.tally.connects += 1
                answer = await connection.ask(
                    self._place.host, f"/load/{number}", method=method, body=BODY if method == "POST" else b""
                )
        except (OSError, IncompleteReadError, ValueError) as fault:
            wrong = f"{type(fault).__name__}: {fault}"
        else:
            wrong, kept = self._judge(answer, method, f"/load/{number}"), answer.kept
            self.tally.announced_closes += not kept
        self._record(begun, wrong and f"{method} /load/{number} on {_told(connection, used=used)}: {wrong}")
        if connection is not None and (wrong or not kept):
            connection.close()
            return None
        return connection

    def _judge(self, answer: Answer, method: str, target: str) -> str:
        """What is wrong with the answer, in words."""
        if answer.status != 200:
            return f"status {answer.status} {dict(answer.headers)} {answer.body[:200]!r}"
        seen = json.loads(answer.body)
        if (seen["target"], seen["method"], seen["body_length"]) != (target, method, len(BODY) * (method == "POST")):
            return f"the answer to {seen['method']} {seen['target']}"
        self.tally.pods[seen["pod"]] = self.tally.pods.get(seen["pod"], 0) + 1
        return ""

    def _record(self, begun: float, wrong: str) -> None:
        took, at = time.monotonic() - begun, begun - self._begun
        if took > self.tally.slowest:
            self.tally.slowest, self.tally.slowest_at = took, at
        self.tally.slower_than_a_second += took > 1
        if wrong:
            self.tally.failures.append(f"at {at:.3f} s, after {took:.3f} s: {wrong}")


def _told(connection: Connection | None, *, used: bool) -> str:
    if connection is None:
        return "no connection"
    return f"a {'kept' if used else 'fresh'} connection from {connection.local}"


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def once(place: Place, target: str, method: str, headers: Mapping[str, str]) -> Answer:
    """One request on a connection of its own."""
    connection = await place.connect()
    try:
        return await connection.ask(place.host, target, method=method, headers={"Connection": "close"} | dict(headers))
    finally:
        connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Asks a URL, once or for a while.")
    parser.add_argument("url")
    parser.add_argument("--host", help="name for Host and SNI, if not the one of the URL")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--seconds", type=float, help="load for so long")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--get-only", action="store_true", help="load without POSTs")
    args = parser.parse_args()
    url = urlsplit(args.url)
    tls = url.scheme == "https"
    place = Place(url.hostname or "", url.port or (443 if tls else 80), args.host or url.netloc, tls)
    if args.seconds is None:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        pairs = (header.partition(":") for header in args.header)
        answer = asyncio.run(once(place, target, args.method, {name: value.strip() for name, _, value in pairs}))
        print(json.dumps({"status": answer.status, "headers": answer.headers, "body": answer.body.decode()}))
        return 0
    end = time.monotonic() + args.seconds
    load = Load(place, clients=args.clients, posts=not args.get_only)
    tally = asyncio.run(load.run(lambda: time.monotonic() > end))
    print(json.dumps(asdict(tally)))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
