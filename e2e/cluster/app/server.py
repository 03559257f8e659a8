"""The application behind the tests: answers every request with what it received, as JSON.

    {"pod", "address", "method", "target", "path", "headers": {name: value}, "body_length", "remote"}

`GET /slow?seconds=1.5` answers after that time. What SIGTERM does is the first argument: `--exit-at-once` ends in the
middle of whatever is going on, as many applications do; `--drain` serves on for `--linger` seconds, until everybody
has heard that this pod is going, then closes idle connections, finishes requests that have begun, and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

POD = os.environ.get("POD_NAME") or socket.gethostname()


class Request(NamedTuple):
    """One request; header names are in lower case, of several values the last counts."""

    method: str
    target: str
    headers: dict[str, str]
    body_length: int

    @property
    def delay(self) -> float:
        """Seconds to wait before the answer."""
        parts = urlsplit(self.target)
        return float(parse_qs(parts.query).get("seconds", ["1"])[0]) if parts.path == "/slow" else 0.0


class Server:
    """One pod: its open connections, and whether it is on its way out."""

    def __init__(self, linger: float | None) -> None:
        """`linger` is None where SIGTERM ends the process at once."""
        self._linger = linger
        self._stop = asyncio.Event()
        self._stopping = False
        self._idle: set[StreamWriter] = set()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        # The kernel delivers no SIGTERM to process 1 unless it asked for it.
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        server = await asyncio.start_server(self._connected, port=port, backlog=1024)
        await self._stop.wait()
        await asyncio.sleep(self._linger or 0)
        self._stopping = True
        server.close()
        for writer in self._idle:
            writer.close()
        if self._running:
            await asyncio.wait(self._running)

    def _terminate(self) -> None:
        if self._linger is None:
            os._exit(0)
        self._stop.set()

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            # Who is gone, or was idle when we closed, needs no answer.
            with contextlib.suppress(IncompleteReadError, ConnectionError):
                while await self._serve_one(reader, writer):
                    pass
        finally:
            self._running.discard(task)
            self._idle.discard(writer)
            writer.close()

    async def _serve_one(self, reader: StreamReader, writer: StreamWriter) -> bool:
        """Serve the next request; whether another may follow."""
        self._idle.add(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self._idle.discard(writer)
        request = await _receive(head, reader)
        await asyncio.sleep(request.delay)
        keep = not self._stopping and request.headers.get("connection", "").lower() != "close"
        writer.write(_answer(request, writer, keep=keep))
        await writer.drain()
        return keep


async def _receive(head: bytes, reader: StreamReader) -> Request:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Request(method, target, headers, await _skip_chunks(reader))
    length = int(headers.get("content-length", 0))
    await reader.readexactly(length)
    return Request(method, target, headers, length)


async def _skip_chunks(reader: StreamReader) -> int:
    total = 0
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        await reader.readexactly(size + len(b"\r\n"))
        total += size
    await reader.readexactly(len(b"\r\n"))
    return total


def _answer(request: Request, writer: StreamWriter, *, keep: bool) -> bytes:
    received = {
        "pod": POD,
        "address": writer.get_extra_info("sockname")[0].removeprefix("::ffff:"),
        "method": request.method,
        "target": request.target,
        "path": request.target.partition("?")[0],
        "headers": request.headers,
        "body_length": request.body_length,
        "remote": writer.get_extra_info("peername")[0].removeprefix("::ffff:"),
    }
    body = json.dumps(received).encode() + b"\n"
    head = (
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if request.method == "HEAD" else body)


def main() -> None:
    parser = argparse.ArgumentParser(description="Answers every HTTP request with what it received, as JSON.")
    leaving = parser.add_mutually_exclusive_group()
    leaving.add_argument("--exit-at-once", action="store_true", help="end at SIGTERM, whatever is going on")
    leaving.add_argument("--drain", action="store_true", help="serve on for a while, finish, end (default)")
    parser.add_argument("--linger", type=float, default=3, help="seconds to serve on with --drain (default: 3)")
    parser.add_argument("--port", type=int, default=8080)
    args = parser.parse_args()
    asyncio.run(Server(None if args.exit_at_once else args.linger).run(args.port))


if __name__ == "__main__":
    main()
