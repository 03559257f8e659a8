"""Clients that hold connections and give little or nothing: thousands of them from one process.

Each way of holding one is a `Hold`: what is sent first, what is dripped later, and whether the client reads.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from controller.tests.live.headrace import trusting_context

ADDRESSES = 8
"""Clients come from 127.0.1.1 and the following addresses, so that they find ports."""


_CONTEXT = trusting_context()  # one for all: a new one reads all authorities of the system


@dataclass(frozen=True, slots=True)
class Hold:
    """`tls`: a finished handshake comes first. `first` is sent at once, `drip` on each turn; nobody reads."""

    name: str
    first: bytes = b""
    drip: bytes = b""
    tls: bool = False


def holds(host: str) -> tuple[Hold, ...]:
    """For ports that speak HTTP. A slow reader asks for an answer that its buffers do not hold."""
    get = b"GET /load?size=2000000 HTTP/1.1\r\nHost: %s\r\n" % host.encode()
    post = b"POST /load HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n" % host.encode()
    return (
        Hold("silent"),
        Hold("slow headers", get, b"X-A: b\r\n"),
        Hold("slow bodies", post, b"x"),
        Hold("slow reading", get + b"\r\n"),
        Hold("kept idle", get.replace(b"2000000", b"1") + b"\r\n"),
    )


def client_hello(host: str, padding: int = 0) -> bytes:
    """What a client of OpenSSL sends first; `padding` makes its list of protocols so much longer."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = trusting_context()
    if padding:
        context.set_alpn_protocols([f"{number:0100d}" for number in range(padding // 101)])
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@contextmanager
def crowd(port: int, count: int, hold: Hold, host: str = "crowd.test") -> Iterator[Crowd]:
    """So many connections, until the block ends; they are cut off without a word."""
    made = Crowd([], hold)
    try:
        for number in range(count):
            made.add(_opened(port, number, hold, host))
        yield made
    finally:
        made.cut()


@dataclass
class Crowd:
    """Connections that one attacker holds."""

    sockets: list[socket.socket]
    hold: Hold

    def add(self, connection: socket.socket | None) -> None:
        if connection:
            self.sockets.append(connection)

    def dripped(self) -> int:
        """A little more on each connection; how many of them the other side has not closed."""
        self.drip()
        return self.alive()

    def drip(self) -> None:
        for connection in self.sockets:
            with suppress(OSError):
                connection.send(self.hold.drip)

    def alive(self) -> int:
        """Those that the other side has not closed."""
        return sum(not _ended(connection) for connection in self.sockets)

    def cut(self) -> None:
        for connection in self.sockets:
            connection.close()
        self.sockets.clear()


def _opened(port: int, number: int, hold: Hold, host: str) -> socket.socket | None:
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.settimeout(5)
    try:
        opened.bind((f"127.0.1.{1 + number % ADDRESSES}", 0))
        opened.connect(("127.0.0.1", port))
        connection = _CONTEXT.wrap_socket(opened, server_hostname=host) if hold.tls else opened
        connection.sendall(hold.first)
        connection.setblocking(False)
    except OSError:
        opened.close()
        return None
    return connection


def _ended(connection: socket.socket) -> bool:
    try:
        return os.read(connection.fileno(), 1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def garbage(host: str) -> Sequence[tuple[str, bytes]]:
    """First bytes that are none of what a port speaks, by name."""
    hello = client_hello(host)
    sslv2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(21) + b"0123456789abcdef"
    old = hello[:1] + b"\x03\x00" + hello[3:9] + b"\x03\x00" + hello[11:]
    return (
        ("nothing", b""),
        ("noise", os.urandom(4000)),
        ("half of a hello", hello[: len(hello) // 2]),
        ("hello", hello),
        ("hello, twice", hello + hello),
        ("hello with a turned byte", hello[:60] + bytes([hello[60] ^ 0xFF]) + hello[61:]),
        ("SSL 2 hello", sslv2),
        ("SSL 3 hello", old),
        ("huge hello", client_hello(host, 15_000)),
        ("record of 65,535 bytes", b"\x16\x03\x01\xff\xff" + os.urandom(65_535)),
        ("many small records", b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in hello[5:])),
        ("alerts", b"\x15\x03\x01\x00\x02\x01\x00" * 2000),
        ("renegotiation asked at once", b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 1000),
        ("PROXY line", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
        ("PROXY version 2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + os.urandom(500)),
        ("long first line", b"GET /" + b"a" * 200_000),
        ("many headers", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 30_000),
        ("one long header", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200_000),
        ("many cookies", b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"c=1; " * 30_000 + b"\r\n\r\n"),
        ("HTTP/2 in clear text", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(4000)),
        ("lines without an end", b"\r\n" * 50_000),
        ("zeros", bytes(100_000)),
    )
