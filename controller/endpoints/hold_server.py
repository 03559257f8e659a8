"""The unix socket where nginx asks what to do with a failed request (`proxy_pass http://unix:/hold.sock:/?…;`).

    GET /?upstream=http.web.default     X-Accel-Redirect: @hr_again          try again, there:
         &round=0                       X-Headrace-Address: 10.0.0.2:8080
         &status=502
         &tried=10.0.0.1:8080           HTTP/1.1 502 Bad Gateway             give up
         &waited=0.500                  (504 where the status is 504, 503 where no pod is left)
         &deadline=3
         &received=0
         &again=@hr_again

`upstream` can name two: the pods of the second answer while the first has none, as with a canary.
`tried`, `status` and `waited` are nginx's `$upstream_addr`, `$upstream_status` and `$upstream_response_time`, with
their spaces. `again` is the place for another try, since locations with settings of their own have one of their own.
Only the target counts: a location that sends headers of its own costs nginx 10 kB, and every host has one that asks.
HTTP/1.0 and 1.1, one request at a time on a connection. Whatever cannot be read is answered 400 and closed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from controller.endpoints.hold import Asked, Decision, Elapsed, Event, HoldMachine, Left, Place, Reason, Stopped
from controller.endpoints.table import PortKey

logger = logging.getLogger(__name__)

MAX_HEAD = 64 << 10
"""Bytes of a request head; nginx sends along what it would send to a pod."""
DEADLINE = 3.0
"""Seconds that a request may take from its first attempt to the last, where nginx says nothing."""

_PLACE = re.compile(r"@hr_again[a-z0-9_]{0,20}")
_SEPARATOR = re.compile(r", | : ")
_TIME = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_TITLES = {
    HTTPStatus.BAD_GATEWAY: "Bad Gateway",
    HTTPStatus.SERVICE_UNAVAILABLE: "Service Temporarily Unavailable",
    HTTPStatus.GATEWAY_TIMEOUT: "Gateway Time-out",
}
"""As nginx has them (ngx_http_special_response.c)."""
_HEAD_SECONDS = 10.0
_IDLE_SECONDS = 75.0
_MAX_CONNECTIONS = 4096
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class HoldRequest(NamedTuple):
    """What nginx asked. `gateway_timeout`: the failure was a 504. `again`: the place for another try."""

    asked: Asked
    gateway_timeout: bool
    again: str
    keep_alive: bool

    def answer(self, decision: Decision) -> bytes:
        connection = "keep-alive" if self.keep_alive else "close"
        if decision.place is None:
            return _final(self._status(decision), connection)
        return (
            f"HTTP/1.1 200 OK\r\nX-Accel-Redirect: {self.again}\r\nX-Headrace-Reason: {decision.reason}\r\n"
            f"{_address_line(decision.place)}Content-Length: 0\r\nConnection: {connection}\r\n\r\n"
        ).encode()

    def _status(self, decision: Decision) -> HTTPStatus:
        if decision.reason is Reason.EMPTY:
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.GATEWAY_TIMEOUT if self.gateway_timeout else HTTPStatus.BAD_GATEWAY


def _final(status: HTTPStatus, connection: str) -> bytes:
    """The page that nginx itself would have sent."""
    title = f"{status.value} {_TITLES[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(page)}\r\nConnection: {connection}\r\n\r\n{page}"
    ).encode()


def parse_request(head: bytes) -> HoldRequest | None:
    """From the head of a request, without the empty line; None for anything that is no question to us."""
    lines = head.decode("latin-1").split("\r\n")
    request, _, version = lines[0].rpartition(" ")
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    said = {name: value for name, _, value in (one.partition("=") for one in request.partition("?")[2].split("&"))}
    texts = said.get("upstream", "").split()
    keys = [key for key in map(_key, texts) if key is not None]
    if not keys or len(keys) != len(texts):
        return None
    bodyless = headers.get("content-length", "0") in ("", "0") and "transfer-encoding" not in headers
    connection = headers.get("connection", "").lower()
    again = said.get("again", "")
    return HoldRequest(
        asked=_asked(keys, said),
        gateway_timeout=said.get("status", "").endswith("504"),
        again=again if _PLACE.fullmatch(again) else "@hr_again",
        keep_alive=bodyless and (connection == "keep-alive" or (version == "HTTP/1.1" and connection != "close")),
    )


def _key(text: str) -> PortKey | None:
    """`http.web.default`: a port, its Service and the namespace."""
    names = text.split(".")
    return PortKey(namespace=names[2], service=names[1], port=names[0]) if len(names) == 3 and all(names) else None


def _asked(keys: Sequence[PortKey], said: dict[str, str]) -> Asked:
    round_ = said.get("round", "")
    deadline = sum(_seconds(said.get("deadline", ""))) or DEADLINE
    return Asked(
        ticket=-1,
        key=keys[0],
        otherwise=keys[1] if len(keys) > 1 else None,
        round=int(round_) if round_.isascii() and round_.isdigit() and len(round_) < 4 else 0,
        tried=frozenset(places_in(said.get("tried", ""))),
        left=deadline - sum(_seconds(said.get("waited", ""))),
        received=said.get("received") == "1",
    )


def places_in(text: str) -> Iterator[Place]:
    """The addresses in an `$upstream_addr`; other things stand there too: unix sockets, names of upstreams.

    >>> list(places_in("10.0.0.1:80, [fd00::1]:80 : unix:/run/hold.sock : default.web.80"))
    [('10.0.0.1', 80), ('fd00::1', 80)]
    """
    for item in _SEPARATOR.split(text):
        host, _, port = item.rpartition(":")
        with suppress(ValueError):
            yield str(ip_address(host.removeprefix("[").removesuffix("]"))), int(port)


def _seconds(text: str) -> Iterator[float]:
    """The times in an `$upstream_response_time`; a dash stands for none."""
    return (float(found) for found in _TIME.findall(text))


def _address_line(place: Place | None) -> str:
    if place is None:
        return ""
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    return f"X-Headrace-Address: {host}:{place[1]}\r\n"


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
        self.on(request.asked._replace(ticket=ticket))
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
                connection.decide(decision)


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

    def decide(self, decision: Decision) -> None:
        """Answer the request that waits. May come from within `ask`, before there is a ticket."""
        request, transport = self._request, self._transport
        assert request is not None and transport is not None
        self._request = self._ticket = None
        transport.write(request.answer(decision))
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
