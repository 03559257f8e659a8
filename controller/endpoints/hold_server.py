"""The unix socket where nginx asks whether to hold a request (`proxy_pass http://unix:…;`, without body).

    GET /hold                                X-Accel-Redirect: @hr_fresh   try again (@hr_raw where Raw is 1)
    X-Headrace-Upstream: http.web.default    X-Accel-Redirect: @hr_502     give up (@hr_504 where Status is 504)
    X-Headrace-Round: 0
    X-Headrace-Status: 502
    X-Headrace-Raw: 0

Only the headers count: in a named location nginx passes the client's own URI. HTTP/1.0 and 1.1, one request at a
time on a connection. Whatever cannot be read is answered 400 and closed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from controller.endpoints.hold import Asked, Decision, Elapsed, Event, HoldMachine, Left, Reason, Stopped
from controller.endpoints.table import PortKey

logger = logging.getLogger(__name__)

MAX_HEAD = 64 << 10
"""Bytes of a request head; nginx passes the client's own header along unless told not to."""
_HEAD_SECONDS = 10.0
_IDLE_SECONDS = 75.0
_MAX_CONNECTIONS = 4096
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class HoldRequest(NamedTuple):
    """What nginx asked. `gateway_timeout`: the failure was a 504. `raw`: retry with the URI as it is now."""

    key: PortKey
    round: int
    gateway_timeout: bool
    raw: bool
    keep_alive: bool

    def answer(self, reason: Reason) -> bytes:
        if reason is Reason.FRESH:
            place = "@hr_raw" if self.raw else "@hr_fresh"
        else:
            place = "@hr_504" if self.gateway_timeout else "@hr_502"
        connection = "keep-alive" if self.keep_alive else "close"
        return (
            f"HTTP/1.1 200 OK\r\nX-Accel-Redirect: {place}\r\nX-Headrace-Reason: {reason}\r\n"
            f"Content-Length: 0\r\nConnection: {connection}\r\n\r\n"
        ).encode()


def parse_request(head: bytes) -> HoldRequest | None:
    """From the head of a request, without the empty line; None for anything that is no question to us."""
    lines = head.decode("latin-1").split("\r\n")
    version = lines[0].rpartition(" ")[2]
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    names = headers.get("x-headrace-upstream", "").split(".")
    if len(names) != 3 or not all(names):
        return None
    round_ = headers.get("x-headrace-round", "")
    bodyless = headers.get("content-length", "0") in ("", "0") and "transfer-encoding" not in headers
    connection = headers.get("connection", "").lower()
    return HoldRequest(
        key=PortKey(namespace=names[2], service=names[1], port=names[0]),
        round=int(round_) if round_.isascii() and round_.isdigit() and len(round_) < 4 else 0,
        gateway_timeout=headers.get("x-headrace-status") == "504",
        raw=headers.get("x-headrace-raw") == "1",
        keep_alive=bodyless and (connection == "keep-alive" or (version == "HTTP/1.1" and connection != "close")),
    )


class HoldServer:
    """Performs the machine's decisions over HTTP. Owned by the event loop."""

    def __init__(self, machine: HoldMachine, path: str) -> None:
        self._machine = machine
        self._path = Path(path)
        self._server: asyncio.Server | None = None
        self._tickets = itertools.count()
        self._asking: dict[int, _Connection] = {}
        self._connections: set[_Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen. The socket is open to all users, because nginx workers have their own; its directory guards it.

        Raises OSError where the path cannot be bound.
        """
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
            self._path.chmod(0o666)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(self._connect, sock=listener, backlog=1024)
        except BaseException:
            listener.close()
            raise

    async def stop(self) -> None:
        """Everyone who waits gets the failure as it was."""
        self.on(Stopped())
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def on(self, event: Event) -> None:
        """Let the machine see an event and do what it decides."""
        loop = asyncio.get_running_loop()
        self._perform(self._machine.on(event, loop.time()))
        due = self._machine.next_due
        if self._timer is not None and self._timer.when() != due:
            self._timer.cancel()
            self._timer = None
        if due is not None and self._timer is None:
            self._timer = loop.call_at(due, self._elapsed)

    def ask(self, connection: _Connection, request: HoldRequest) -> int:
        ticket = next(self._tickets)
        self._asking[ticket] = connection
        self.on(Asked(ticket, request.key, request.round))
        return ticket

    def leave(self, connection: _Connection, ticket: int | None) -> None:
        self._connections.discard(connection)
        if ticket is not None and self._asking.pop(ticket, None) is not None:
            self.on(Left(ticket))

    def enter(self, connection: _Connection) -> bool:
        """Whether there is room for one more."""
        self._connections.add(connection)
        return len(self._connections) <= _MAX_CONNECTIONS

    def _connect(self) -> asyncio.Protocol:
        return _Connection(self)

    def _elapsed(self) -> None:
        self._timer = None
        self.on(Elapsed())

    def _perform(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            connection = self._asking.pop(decision.ticket, None)
            if connection is not None:
                connection.decide(decision.reason)


class _Connection(asyncio.Protocol):
    """One connection of nginx. While a request waits, what comes next stays in the buffer."""

    def __init__(self, server: HoldServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._request: HoldRequest | None = None
        self._ticket: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.enter(self):
            transport.abort()
            return
        self._expect(_HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._request is None:
            self._read()
        if len(self._buffer) > MAX_HEAD:
            self._refuse()

    def eof_received(self) -> bool:
        """nginx gave up on us (its client left): the connection ends, and `connection_lost` gives back the place."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self._server.leave(self, self._ticket)

    def decide(self, reason: Reason) -> None:
        """Answer the request that waits. May come from within `ask`, before there is a ticket."""
        request, transport = self._request, self._transport
        assert request is not None and transport is not None
        self._request = self._ticket = None
        transport.write(request.answer(reason))
        if not request.keep_alive:
            transport.close()
            return
        self._expect(_IDLE_SECONDS)
        if not self._reading:
            self._read()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _read(self) -> None:
        """Take requests out of the buffer while each can be answered at once; a loop, so that depth stays bound."""
        self._reading = True
        while self._request is None and self._open() and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            request = parse_request(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if request is None:
                self._refuse()
                break
            self._cancel_timer()
            self._request = request
            ticket = self._server.ask(self, request)
            self._ticket = ticket if self._request is not None else None
        self._reading = False

    def _refuse(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if self._request is None:
                self._transport.write(_BAD_REQUEST)
            self._transport.close()

    def _open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _expect(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
