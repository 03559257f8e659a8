"""A pod that keeps what it receives, byte for byte, and takes nothing that two readers could read in two ways.

A request is strict where it has one Host, lines that end in CRLF and nowhere else, no folded line, no NUL, and either
one `Content-Length` of digits, or `Transfer-Encoding: chunked` alone, or neither (RFC 9112, sections 2.2, 5.2, 6.3 and
11.2). Whatever follows such a request on its connection is the next one to every server there is. Anything else is
kept in `faults`, and its connection ends.

Answers say what was received, as those of `controller.tests.live.backends` do, so that the checker can judge them.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Self

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


class NotStrict(ValueError):
    """Two readers could read it in two ways."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request. Names of headers are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Recorder:
    """`host` and `port` are where it listens, from the begin of its block to the end."""

    name: str = "raw"
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, self.host, self.port, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                received = await read_request(reader)
                self.requests.append(received)
                writer.write(self._answer(received))
                await writer.drain()
        except NotStrict as fault:
            self.faults.append(str(fault))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _answer(self, received: Received) -> bytes:
        seen = {"backend": self.name, "target": received.target, "body_length": len(received.body)}
        body = b"" if received.method == "HEAD" else json.dumps(seen).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def read_request(reader: asyncio.StreamReader) -> Received:
    """The next request. Raises `NotStrict`; IncompleteReadError where the connection ends."""
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    received = read_head(head)
    lengths, codings = received.values("content-length"), received.values("transfer-encoding")
    if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]) or not all(map(str.isdigit, lengths)):
        raise NotStrict(f"length {lengths} {codings}: {head!r}")
    body = await _chunked(reader) if codings else await reader.readexactly(int(lengths[0]) if lengths else 0)
    return Received(received.method, received.target, received.headers, body)


def read_head(head: bytes) -> Received:
    """Without its empty line. Raises `NotStrict`."""
    first, *lines = head.split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if not found or not all(fields):
        raise NotStrict(f"lines: {head!r}")
    headers = tuple((one[1].decode().lower(), one[2].decode("latin-1").strip()) for one in fields if one)
    if sum(name == "host" for name, _ in headers) != 1:
        raise NotStrict(f"hosts: {head!r}")
    return Received(found[1].decode(), found[2].decode("latin-1"), headers, b"")


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        line = (await reader.readuntil(b"\r\n"))[:-2]
        if not _SIZE.fullmatch(line):
            raise NotStrict(f"size of a chunk: {line!r}")
        size = int(line, 16)
        data = await reader.readexactly(size + 2)
        if data[size:] != b"\r\n":
            raise NotStrict(f"end of a chunk: {data[-20:]!r}")
        if not size:
            return body
        body += data[:size]
