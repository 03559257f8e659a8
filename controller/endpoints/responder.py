"""The DNS server that nginx asks for endpoints: UDP and TCP on loopback.

Several UDP sockets, because nginx asks all names at once after a reload and the kernel drops what overflows one
socket's buffer; nginx spreads its questions over all addresses of its `resolver` directive. Datagrams are read
from the sockets directly and in batches: an asyncio transport reads one per turn of the loop. With thousands of names
questions come at any time, so after a batch we look away for some milliseconds: to wake up costs more than to answer.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
_RECEIVE_BUFFER = 4 << 20
_BATCH = 64
_PAUSE = 0.004
"""Seconds for which questions are gathered. nginx asks once a second, and waits for the answer without stopping."""
_MAX_CONNECTIONS = 64
_IDLE_SECONDS = 60.0
_MAX_PENDING = 1 << 20

Answer = Callable[[bytes], bytes | None]
"""From one message to its reply, or None for silence. Must not raise."""


class Responder:
    """Answers from `udp` and `tcp` until closed. Owned by the event loop."""

    def __init__(self, udp: Answer, tcp: Answer) -> None:
        self._udp = udp
        self._tcp = tcp
        self._sockets: list[socket.socket] = []
        self._waiting: select.epoll | None = None
        self._by_number: dict[int, socket.socket] = {}
        self._resume: asyncio.TimerHandle | None = None
        self._servers: list[asyncio.Server] = []
        self._connections: set[_Connection] = set()
        self.queries = 0
        self.unsent = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """`127.0.0.1:port` of every socket, for nginx's `resolver` directive."""
        return tuple(f"{HOST}:{port}" for port in self.ports)

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(opened.getsockname()[1] for opened in self._sockets)

    async def start(self, ports: Sequence[int] = (), sockets: int = 8) -> None:
        """Listen on `ports` where they are free (a running nginx still asks there), else on new ones.

        Raises OSError where not even a new port can be had.
        """
        loop = asyncio.get_running_loop()
        self._waiting = select.epoll()
        wanted = list(dict.fromkeys(ports))[:sockets]
        for port in [*wanted, *[0] * (sockets - len(wanted))]:
            datagrams, listener = _open(port)
            self._sockets.append(datagrams)
            self._servers.append(await loop.create_server(self._connect, sock=listener))
            self._by_number[datagrams.fileno()] = datagrams
            self._waiting.register(datagrams, select.EPOLLIN)
        self._look()

    async def stop(self) -> None:
        if self._waiting is not None:
            asyncio.get_running_loop().remove_reader(self._waiting.fileno())
            self._waiting.close()
            self._waiting = None
        if self._resume is not None:
            self._resume.cancel()
        for opened in self._sockets:
            opened.close()
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        self._sockets.clear()
        self._by_number.clear()
        self._servers.clear()

    def _look(self) -> None:
        """Wait for the next question."""
        if self._waiting is not None:
            asyncio.get_running_loop().add_reader(self._waiting.fileno(), self._answer_all)

    def _answer_all(self) -> None:
        """All sockets with questions; where one has more than a batch the rest of the loop gets its turn at once."""
        if self._waiting is None:
            return
        loop = asyncio.get_running_loop()
        more = [self._drain(self._by_number[number]) for number, _ in self._waiting.poll(0)]
        if not any(more):
            loop.remove_reader(self._waiting.fileno())
            self._resume = loop.call_later(_PAUSE, self._look)

    def _drain(self, opened: socket.socket) -> bool:
        """Answer what is waiting, at most a batch. True where there may be more."""
        for _ in range(_BATCH):
            try:
                data, sender = opened.recvfrom(512)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as fault:
                logger.warning("dns receive failed", extra={"error": str(fault)})
                return False
            self.queries += 1
            reply = self._udp(data)
            if reply is None:
                continue
            try:
                opened.sendto(reply, sender)
            except OSError:
                # The kernel has no room, or the asker is gone: a lost datagram; nginx asks again.
                self.unsent += 1
        return True

    def _connect(self) -> asyncio.Protocol:
        return _Connection(self._answer_tcp, self._connections)

    def _answer_tcp(self, data: bytes) -> bytes | None:
        self.queries += 1
        return self._tcp(data)


class _Connection(asyncio.Protocol):
    """One TCP connection: messages with a two-byte length in front (RFC 1035, 4.2.2; RFC 7766)."""

    def __init__(self, answer: Answer, open_now: set[_Connection]) -> None:
        self._answer = answer
        self._open_now = open_now
        self._pending = bytearray()
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_now.add(self)
        if len(self._open_now) > _MAX_CONNECTIONS:
            self.abort()
        self._wait()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._pending += data
        while len(self._pending) >= 2:
            end = 2 + int.from_bytes(self._pending[:2], "big")
            if len(self._pending) < end:
                break
            reply = self._answer(bytes(self._pending[2:end]))
            del self._pending[:end]
            if reply is None or transport.get_write_buffer_size() > _MAX_PENDING:
                self.abort()
                return
            transport.write(len(reply).to_bytes(2, "big") + reply)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_now.discard(self)
        if self._idle is not None:
            self._idle.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.abort)


def _open(port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP socket and a TCP listener on the same port: that one, else any that is free for both."""
    if port:
        with suppress(OSError, OverflowError):
            return _open_both(port)
    for _ in range(100):
        try:
            return _open_both(0)
        except OSError as fault:
            if fault.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free for both UDP and TCP on " + HOST)


def _open_both(port: int) -> tuple[socket.socket, socket.socket]:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        datagrams.setblocking(False)
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        datagrams.bind((HOST, port))
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, datagrams.getsockname()[1]))
        listener.listen(_MAX_CONNECTIONS)
    except BaseException:
        datagrams.close()
        listener.close()
        raise
    return datagrams, listener
