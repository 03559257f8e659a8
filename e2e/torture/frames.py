"""HTTP/2 from clients that mean harm: single frames (RFC 9113), and floods of them.

A flood is a beginning and a block that is sent again and again. What a server may do: answer, or hang up.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from controller.tests.live.headrace import trusting_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Flood:
    """`opening` once, then `blocks` as often as it is wanted; `reads` is false for a client that never reads."""

    name: str
    opening: bytes
    blocks: tuple[bytes, ...]
    reads: bool = True


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A field without Huffman code; `indexed` enters it into the dynamic table (RFC 7541, 6.2.1 and 6.2.2)."""
    return (b"\x40" if indexed else b"\x00") + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, size = len(text) - 127, b"\x7f"
    while rest >= 128:
        size, rest = size + bytes([rest % 128 + 128]), rest // 128
    return size + bytes([rest]) + text


def headers(stream: int, fields: Iterable[Field], flags: int = END_STREAM | END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, b"".join(literal(*field) for field in fields))


def opening(*settings: tuple[int, int]) -> bytes:
    """The preface and the client's settings."""
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in settings)
    return PREFACE + frame(SETTINGS, 0, 0, payload)


def get(stream: int, host: str, path: str = "/load") -> bytes:
    return headers(stream, _fields(host, path))


def _fields(host: str, path: str) -> tuple[Field, ...]:
    usual = ((b":method", b"GET"), (b":scheme", b"https"), (b":path", path.encode()))
    return (*usual, (b":authority", host.encode()))


def request(fields: Iterable[Field], body: bytes = b"") -> bytes:
    """A connection with one request. What `fields` do not say is a GET or POST as it should be."""
    said = list(fields)
    usual = ((b":method", b"POST" if body else b"GET"), (b":scheme", b"https"))
    missing = [field for field in usual if field[0] not in {name for name, _ in said}]
    head = headers(1, [*missing, *said], END_HEADERS if body else END_HEADERS | END_STREAM)
    return opening() + head + (frame(DATA, END_STREAM, 1, body) if body else b"")


def downgrades(host: str) -> Iterator[tuple[tuple[Field, ...], bytes]]:
    """Fields, and a body, of requests that would be two, or another one, if they were written as HTTP/1."""
    authority = (b":authority", host.encode())
    hidden = b"GET /hidden HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n"
    for name, value in (
        (b"x", b"1\r\nHost: other.test"), (b"x", b"1\r\n\r\n" + hidden), (b"x\r\ny", b"1"), (b"x: 1\r\ny", b"1"),
        (b"x", b"a\x00b"), (b"x", b"a\nb"), (b"x", b"a\rb"), (b"x y", b"1"), (b"x:y", b"1"), (b"", b"1"),
        (b"X-Upper", b"1"),
        (b"transfer-encoding", b"chunked"), (b"Transfer-Encoding", b"chunked"), (b"connection", b"close, host"),
        (b"upgrade", b"h2c"), (b"keep-alive", b"1"), (b"te", b"chunked"), (b"content-length", b"0"),
        (b"content-length", b"3"),
        (b"content-length", b"500"), (b"content-length", b"5, 6"), (b"content-length", b"+5"), (b"host", b"other.test"),
        (b":late", b"1"), (b":path", b"/hidden"), (b":method", b"GET"), (b":authority", b"other.test"),
    ):  # fmt: skip
        yield (authority, (name, value)), b"hello"
        yield (authority, (name, value)), b""
    for name, value in (
        (b":method", b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\nGET"), (b":method", b"GET /hidden"), (b":method", b""),
        (b":method", b"CONNECT"), (b":scheme", b"https\r\nx: 1"), (b":scheme", b"h ttps://x/"), (b":scheme", b""),
        (b":authority", host.encode() + b"\r\nx: 1"), (b":authority", host.encode() + b" other"), (b":authority", b""),
        (b":authority", b"a@" + host.encode()), (b":protocol", b"websocket"),
    ):  # fmt: skip
        rest = () if name == b":authority" else (authority,)
        yield ((name, value), *rest), b""


def floods(host: str) -> tuple[Flood, ...]:
    """Streams 1, 3, 5 ... of a flood go on from block to block."""
    cookie = literal(b"cookie", b"c" * 4000, indexed=True)
    numbers = range(1, 60_000, 2)
    resets = [get(number, host) + frame(RST_STREAM, 0, number, (8).to_bytes(4, "big")) for number in numbers]
    never_ends = [frame(CONTINUATION, 0, 1, literal(b"x%d" % one, b"y" * 900)) for one in range(60)]
    empty = [frame(CONTINUATION, 0, 1, b"")] * 4000
    begun = frame(HEADERS, 0, 1, b"".join(literal(*field) for field in _fields(host, "/load")))
    updates = [frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big"))] * 4000
    priority = [frame(PRIORITY, 0, 2 * one + 1, bytes(4) + b"\x10") for one in range(4000)]
    table = [frame(SETTINGS, 0, 0, b"\x00\x01" + size.to_bytes(4, "big")) for size in (0, 2**31 - 1)] * 1000
    data = [frame(DATA, 0, 1, b"")] * 4000
    posts = [headers(number, _post(host), END_HEADERS) for number in numbers]
    return (
        Flood("rapid reset", opening(), _blocks(resets, 200)),
        Flood("rapid reset, nobody reads", opening(), _blocks(resets, 200), reads=False),
        Flood("CONTINUATION", opening() + begun, _blocks(never_ends, 60)),
        Flood("CONTINUATION of nothing", opening() + begun, _blocks(empty, 4000)),
        Flood("HPACK bomb", opening() + begun, (frame(CONTINUATION, 0, 1, cookie + b"\xbe" * 12_000),)),
        Flood("SETTINGS", opening(), (frame(SETTINGS, 0, 0, b"") * 4000,), reads=False),
        Flood("SETTINGS of tables", opening(), _blocks(table, 2000), reads=False),
        Flood("PING", opening(), (frame(PING, 0, 0, b"12345678") * 2000,), reads=False),
        Flood("WINDOW_UPDATE", opening(), _blocks(updates, 4000)),
        Flood("PRIORITY", opening(), _blocks(priority, 4000)),
        Flood("empty DATA", opening() + headers(1, _post(host), END_HEADERS), _blocks(data, 4000)),
        Flood("streams that never end", opening(), _blocks(posts, 500)),
        Flood("windows of nothing", opening((4, 0)), _blocks([get(n, host,
        "/load?size=300000") for n in numbers], 100)),
        Flood("frames of no kind", opening(), (frame(200, 255, 0, b"x" * 1000) * 50,)),
    )  # fmt: skip


def _post(host: str) -> tuple[Field, ...]:
    return ((b":method", b"POST"), *_fields(host, "/load")[1:])


def _blocks(frames: list[bytes], size: int) -> tuple[bytes, ...]:
    return tuple(b"".join(frames[start : start + size]) for start in range(0, len(frames), size))


@contextmanager
def connected(port: int, host: str, *, tls: bool = True) -> Iterator[socket.socket]:
    """A connection that has agreed on HTTP/2, or that begins it in clear text."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as plain:
        if not tls:
            yield plain
            return
        context = trusting_context()
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(plain, server_hostname=host) as connection:
            yield connection


def pour(connection: socket.socket, flood: Flood, seconds: float) -> tuple[int, bool]:
    """Bytes that were sent, and whether the server hung up before the time was over."""
    sent, end = 0, time.monotonic() + seconds
    try:
        connection.sendall(flood.opening)
        while True:
            for block in flood.blocks:
                if time.monotonic() > end:
                    return sent, False
                connection.settimeout(max(0.05, end - time.monotonic()))
                connection.sendall(block)
                sent += len(block)
                if flood.reads:
                    drain(connection, 0.0)
    except TimeoutError:
        return sent, False  # it takes no more, which is its right: what it has not read costs the kernel alone
    except OSError:
        return sent, True


def drain(connection: socket.socket, seconds: float) -> bytes:
    """What comes within that time. Raises ConnectionResetError where the other side has closed."""
    received = b""
    end = time.monotonic() + seconds
    with suppress(TimeoutError, ssl.SSLWantReadError, BlockingIOError):
        while True:
            connection.settimeout(max(0.0, end - time.monotonic()))
            data = connection.recv(65_536)
            if not data:
                raise ConnectionResetError("closed")
            received += data
    return received
