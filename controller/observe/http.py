"""The port for probes and metrics (10254): health, readiness, metrics, diagnostics. Reads, changes nothing.

A small HTTP/1.1 server on asyncio streams. Guarantees: one request per connection, a head of at most 8 KiB within 5
seconds, an answer that is taken within 30 seconds; whoever exceeds that is cut off. At most 64 connections at a time,
of which 4 have a large answer; a newcomer takes the place of the address that has most, so that nobody can keep probes
out. Only GET and HEAD; bodies are not read.

What is served comes from callables, which must not block and should not raise: a fault in one closes the connection
and is logged by the event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from controller.model.diagnostics import Report
from controller.observe.findings import report_json
from controller.observe.room import Room

MAX_HEAD = 8 << 10
MAX_CONNECTIONS = 64
MAX_LARGE = 4
"""Answers that grow with the cluster: what clients who never read them make us keep."""

LARGE = ("/metrics", "/debug/diagnostics")
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
_INDEX = """Headrace

/healthz             200 while the controller works, else 500 with the reason
/readyz              200 once traffic is served, else 503 with the reason
/metrics             Prometheus and OpenMetrics text
/debug/diagnostics   what is wrong with which object, as JSON
"""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from. `healthy` and `ready` answer with a reason, or "" where all is well.

    `metrics` takes an `Accept` header and answers with content type and body.
    """

    healthy: Callable[[], str]
    ready: Callable[[], str]
    metrics: Callable[[str], Awaitable[tuple[str, bytes]]]
    report: Callable[[], Report]


class Answer(NamedTuple):
    status: HTTPStatus
    body: bytes
    content_type: str = TEXT


class Request(NamedTuple):
    """`path` is without its query; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class StatusServer:
    """Listens from `start` to `stop`. Owned by the event loop."""

    def __init__(self, sources: Sources, *, host: str = "", port: int = 10254, health_path: str = "/healthz") -> None:
        """`host` is one address, "" for all of them; port 0 takes a free one. The health path can be moved."""
        self._sources = sources
        self._host = host
        self._port = port
        self._health_paths = frozenset({"/healthz", health_path})
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._all = Room(MAX_CONNECTIONS)
        self._large = Room(MAX_LARGE)
        self._told: tuple[Report | None, bytes] = (None, b"")
        self.head_seconds = 5.0
        self.answer_seconds = 30.0

    @property
    def port(self) -> int:
        """The port that is listened on; 0 where none is."""
        sockets = self._server.sockets if self._server else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._all)

    async def start(self) -> None:
        """Raises OSError where the port cannot be had."""
        self._server = await asyncio.start_server(
            self._connected, self._host or None, self._port, limit=MAX_HEAD, backlog=MAX_CONNECTIONS
        )

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # Nothing comes after it, and asyncio of Python 3.11 takes a connection that was cancelled for a fault.
            with suppress(asyncio.CancelledError), self._all.place(writer):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            _break_circle(reader)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self.head_seconds):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await self._give(reader, writer, _error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            return
        else:
            request = parse_request(head)
            if request is None:
                await self._give(reader, writer, _error(HTTPStatus.BAD_REQUEST))
                return
            with self._large.place(writer) if request.path in LARGE else nullcontext():
                answer = await self._answer(request)
                await self._give(reader, writer, answer, with_body=request.method != "HEAD")

    async def _give(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, *, with_body: bool = True
    ) -> None:
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(self.answer_seconds):
                await _send(reader, writer, answer, with_body=with_body)

    async def _answer(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return _error(HTTPStatus.METHOD_NOT_ALLOWED)
        return await self._page(request) or _error(HTTPStatus.NOT_FOUND)

    async def _page(self, request: Request) -> Answer | None:
        path, sources = request.path, self._sources
        if path in self._health_paths:
            return _state(sources.healthy(), HTTPStatus.INTERNAL_SERVER_ERROR)
        if path == "/readyz":
            return _state(sources.ready(), HTTPStatus.SERVICE_UNAVAILABLE)
        if path == "/metrics":
            content_type, body = await sources.metrics(request.headers.get("accept", ""))
            return Answer(HTTPStatus.OK, body, content_type)
        if path == "/debug/diagnostics":
            return Answer(HTTPStatus.OK, await self._diagnostics(sources.report()), JSON)
        return Answer(HTTPStatus.OK, _INDEX.encode()) if path == "/" else None

    async def _diagnostics(self, report: Report) -> bytes:
        """Thousands of findings take a second to write: once for each report, in a thread."""
        if self._told[0] is not report:
            self._told = report, await asyncio.to_thread(_written, report)
        return self._told[1]


def _break_circle(reader: asyncio.StreamReader) -> None:
    """A reader keeps the error that ended it, which keeps the frames that it came through: the reader, and the answer.

    Only the collector would end that, and it comes late here: clients that hang up early could fill the memory.
    """
    if fault := reader.exception():
        fault.__traceback__ = None


def _written(report: Report) -> bytes:
    return json.dumps(report_json(report), indent=1).encode() + b"\n"


def parse_request(head: bytes) -> Request | None:
    """From the bytes up to the empty line (RFC 9112, section 3); None for what is no HTTP/1 request."""
    lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[0].isalpha() or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        return None
    headers = (line.partition(":") for line in lines[1:])
    return Request(
        method=words[0],
        path=words[1].partition("?")[0],
        headers={name.strip().lower(): value.strip() for name, _, value in headers},
    )


def _state(reason: str, otherwise: HTTPStatus) -> Answer:
    return Answer(otherwise, f"{reason}\n".encode()) if reason else Answer(HTTPStatus.OK, b"ok\n")


def _error(status: HTTPStatus) -> Answer:
    return Answer(status, f"{status.value} {status.phrase}\n".encode())


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, *, with_body: bool) -> None:
    """Write it, then read until the client closes too: closing over unread input would take the answer back."""
    allow = "Allow: GET, HEAD\r\n" if answer.status is HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    writer.transport.set_write_buffer_limits(high=0)  # so that drain waits for all of it
    writer.write(head.encode() + (answer.body if with_body else b""))
    await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(1.0):
        for _ in range(64):
            if not await reader.read(MAX_HEAD):
                break
