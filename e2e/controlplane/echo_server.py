"""The HTTP server behind a test backend: answers every request with what it received, as JSON.

    {"name", "method", "target", "path", "headers": [[name, value], ...], "body_length", "client"}

Runs as a process of its own, `python echo_server.py NAME LISTENING_SOCKET_FD`, with the standard
library only. Speaks HTTP/1.0 and 1.1, keeps connections alive, reads bodies with a length and
chunked ones. On SIGTERM it stops accepting, lets running requests finish and closes idle
connections, as a good pod does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from asyncio import StreamReader, StreamWriter
from typing import NamedTuple


class Request(NamedTuple):
    """The head of one request."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]

    def value(self, name: str) -> str:
        """Return the first value of a header in lower case, or the empty string."""
        return next((value for key, value in self.headers if key.lower() == name), "").lower()

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants the connection to stay open."""
        if self.version == "HTTP/1.0":
            return self.value("connection") == "keep-alive"
        return self.value("connection") != "close"


class EchoServer:
    """One backend: a name and its open connections."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: set[StreamWriter] = set()

    async def run(self, listener: socket.socket) -> None:
        """Serve until SIGTERM, then finish what has begun."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        server = await asyncio.start_server(self._connected, sock=listener)
        await self._stopping.wait()
        server.close()
        for writer in self._idle:
            writer.close()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, or the connection was idle at the stop
        finally:
            self._connections.discard(task)
            self._idle.discard(writer)
            writer.close()

    async def _serve_one(self, reader: StreamReader, writer: StreamWriter) -> bool:
        """Serve the next request; return whether another one may follow."""
        self._idle.add(writer)
        request = _decode_head(await reader.readuntil(b"\r\n\r\n"))
        self._idle.discard(writer)
        if request.value("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body_length = await _skip_body(request, reader)
        keep = request.keeps_alive and not self._stopping.is_set()
        writer.write(self._answer(request, body_length, writer.get_extra_info("peername")[0], keep))
        await writer.drain()
        return keep

    def _answer(self, request: Request, body_length: int, client: str, keep: bool) -> bytes:
        received = {
            "name": self._name,
            "method": request.method,
            "target": request.target,
            "path": request.target.partition("?")[0],
            "headers": request.headers,
            "body_length": body_length,
            "client": client,
        }
        body = json.dumps(received).encode() + b"\n"
        head = (
            "HTTP/1.1 200 OK\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n"
            f"connection: {'keep-alive' if keep else 'close'}\r\n"
            f"x-backend: {self._name}\r\n\r\n"
        )
        return head.encode() + (b"" if request.method == "HEAD" else body)


def _decode_head(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Request(method, target, version, [(name, value.strip()) for name, _, value in pairs])


async def _skip_body(request: Request, reader: StreamReader) -> int:
    """Read the body to its end and return its length."""
    if request.value("transfer-encoding") == "chunked":
        return await _skip_chunks(reader)
    length = int(request.value("content-length") or 0)
    await _skip(reader, length)
    return length


async def _skip_chunks(reader: StreamReader) -> int:
    total = 0
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        await _skip(reader, size + len(b"\r\n"))
        total += size
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # a trailer field
    return total


async def _skip(reader: StreamReader, count: int) -> None:
    while count:
        piece = await reader.read(min(count, 1 << 16))
        if not piece:
            raise asyncio.IncompleteReadError(b"", count)
        count -= len(piece)


if __name__ == "__main__":
    asyncio.run(EchoServer(sys.argv[1]).run(socket.socket(fileno=int(sys.argv[2]))))
