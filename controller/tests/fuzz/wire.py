"""Bytes that no decent client sends: each shot is made from one number, so that it can be fired again.

Requests of HTTP/1 with wrong lines, headers and lengths; bodies in chunks that are none; the shapes in which a request
is smuggled past a proxy (RFC 9112, 11.2); frames of HTTP/2 out of order, too long, of streams that do not exist (RFC
9113); records of TLS; and any of these with bits turned over.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

HOSTS = ("open.test", "other.test")
VICTIM = "control.test"
"""No shot names it in a request of its own, only within bodies."""

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: control.test\r\nX-Smuggled: 1\r\n\r\n"


@dataclass(frozen=True)
class Shot:
    """`pieces` are sent one after the other. `tls`: the ALPN protocols to shake hands with, None for plain bytes."""

    kind: str
    pieces: tuple[bytes, ...]
    port: str = "http"
    tls: tuple[str, ...] | None = None


def shot(seed: int, number: int) -> Shot:
    """The same for the same two numbers."""
    draw = random.Random(f"{seed}:{number}")
    made = draw.choice(_KINDS)(draw)
    if draw.random() < 0.2:
        made = Shot(f"{made.kind}+bits", tuple(_turned(draw, piece) for piece in made.pieces), made.port, made.tls)
    return made


def _request(draw: random.Random) -> Shot:
    method = draw.choice(
        ("GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "G T", "", "PRI", "A" * 300)
    )
    target = draw.choice(
        ("/", "*", "//x", "/..", "/%2e%2e/%2e%2e/etc/passwd", "/%00", "/\x01", "http://open.test/", "/" + "a" * 9000,
        "", "/?" + "b=" * 500,
         "/a b", "/%zz", "/\xff", "/;x", "/#f", "open.test:443", "/_hr_x", "/@hr_hold", "/%40hr_hold")
    )  # fmt: skip
    version = draw.choice(
        ("HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.11", "HTTP/9", "http/1.1", "")
    )
    lines = [f"{method} {target} {version}", *(_header(draw) for _ in range(draw.randint(0, 6)))]
    lines.insert(draw.randint(1, len(lines)), f"Host: {draw.choice(HOSTS)}")
    end = draw.choice(("\r\n", "\r\n", "\r\n", "\n", "\r"))
    return Shot("request", ((end.join(lines) + end * 2).encode("latin-1"),), *_place(draw))


def _header(draw: random.Random) -> str:
    return draw.choice(
        ("Host: other.test", "Host: open.test:99999", "Host:", "Host: ../../x", "Host: open.test\x00", " folded: x",
        "\tx", "no-colon",
         "X: " + "y" * 5000, "X\x00Y: 1", "X-\xff: 1", ": empty", "Content-Length: 0", "Content-Length: -1",
         "Content-Length: 99999999999999999999",
         "Content-Length: 5, 5", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
         "Connection: close, X-Real-IP",
         "Connection: keep-alive", "Upgrade: h2c", "Upgrade: websocket", "Expect: 100-continue", "Expect: 999",
         "Range: bytes=0-,-1,5-2",
         "X-Forwarded-For: 1.2.3.4, x\"y", "X-Forwarded-Proto: https\x0b", "X-Forwarded-Host: control.test",
         "Cookie: " + "c=1; " * 200,
         "Accept-Encoding: " + "gzip," * 300, "TE: trailers", "HTTP2-Settings: AAMAAABkAAQAAP__", "If-Match: *",
         "Via: 1.1 x" * 20)
    )  # fmt: skip


def _smuggling(draw: random.Random) -> Shot:
    """One head that two readers could end in different places, and a request where the second would begin."""
    host = draw.choice(HOSTS)
    encoding = draw.choice(
        ("Transfer-Encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding: xchunked",
        "Transfer-Encoding:\tchunked",
         "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "X: y\r\n Transfer-Encoding: chunked",
         "Transfer-Encoding\r\n : chunked",
         "transfer-encoding: Chunked, identity", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x00",
         "Transfer-Encoding: 'chunked'")
    )  # fmt: skip
    body = draw.choice(
        (
            b"0\r\n\r\n",
            b"1\r\nZ\r\n0\r\n\r\n",
            b"",
            b"0;x=" + b"y" * 50 + b"\r\n\r\n",
            b"0\n\n",
            b"00000000000000000\r\n\r\n",
        )
    )
    body += SMUGGLED
    length = draw.choice((0, 4, 5, 6, len(body), len(body) - len(SMUGGLED), len(body) + 10))
    lengths = draw.choice(
        (f"Content-Length: {length}", f"Content-Length: {length}\r\nContent-Length: {len(body)}",
        f"Content-Length: +{length}",
         f"Content-Length: {length} ", f"Content-Length:\x0b{length}", f"Content-Length: 0x{length:x}",
         f"Content-Length : {length}",
         f"X-Y: 1\r\n Content-Length: {length}", "")
    )  # fmt: skip
    both = [encoding, lengths] if draw.random() < 0.5 else [lengths, encoding] if draw.random() < 0.5 else [lengths]
    lines = [
        f"POST /{draw.randint(0, 999)} HTTP/1.{draw.choice('1110')}",
        f"Host: {host}",
        *(line for line in both if line),
    ]
    if draw.random() < 0.3:
        lines += ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade, HTTP2-Settings"]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    pieces = (head, body) if draw.random() < 0.5 else (head + body,)
    return Shot("smuggling", pieces, *_place(draw))


def _chunks(draw: random.Random) -> Shot:
    sizes = (
        "5",
        "0",
        "FFFFFFFFFFFFFFFF",
        "-1",
        "5;a=b",
        "g",
        "",
        "0x5",
        "5 ",
        "00005",
        "5;" + "e" * 5000,
        "7fffffffffffffff",
    )
    body = b"".join(
        draw.choice(sizes).encode() + draw.choice((b"\r\n", b"\n", b"\r")) + b"hello\r\n"
        for _ in range(draw.randint(1, 5))
    )
    body += draw.choice((b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\nHost: control.test\r\n\r\n", b"", SMUGGLED))
    head = f"POST /chunks HTTP/1.1\r\nHost: {draw.choice(HOSTS)}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return Shot("chunks", (head, body), *_place(draw))


def _noise(draw: random.Random) -> Shot:
    return Shot("noise", (draw.randbytes(draw.randint(1, 3000)),), draw.choice(("http", "https")))


def _frames(draw: random.Random) -> Shot:
    """A connection of HTTP/2 with frames of any kind, length, flags and stream."""
    opening = draw.choice((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",) * 5 + (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",))
    frames = [_frame(4, 0, 0, b"")] if draw.random() < 0.9 else []
    frames += [draw.choice((_headers_frame, _any_frame))(draw) for _ in range(draw.randint(1, 12))]
    protocols = draw.choice((("h2",), ("h2", "http/1.1")))
    if draw.random() < 0.15:
        return Shot("clear-frames", (opening + b"".join(frames),))
    return Shot("frames", (opening + b"".join(frames),), "https", protocols)


def _frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _headers_frame(draw: random.Random) -> bytes:
    """Literal header fields without Huffman codes (RFC 7541, 6.2.2), now and then forbidden ones."""
    fields = [
        (":method", draw.choice(("GET", "POST"))),
        (":scheme", "https"),
        (":path", draw.choice(("/", "/x", "x", "", "*"))),
    ]
    fields.append((":authority", draw.choice((*HOSTS, "", "open.test\r\nx: y"))))
    fields += draw.choices(
        (("host", "other.test"), ("connection", "close"), ("transfer-encoding", "chunked"), ("content-length", "5"),
        ("X-Upper", "1"),
         ("x\r\ny", "1"), ("x-a", "1\r\nHost: control.test"), (":path", "/again"), ("te", "gzip"), ("upgrade",
         "h2c"), ("x-a", "v" * 3000)),
        k=draw.randint(0, 3),
    )  # fmt: skip
    if draw.random() < 0.3:
        draw.shuffle(fields)
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
    stream = draw.choice((1, 3, 5, 7, 2, 0, 2**31 - 1))
    return _frame(1, draw.choice((0x5, 0x4, 0x1, 0x0, 0x2D, 0xFF)), stream, block)


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, more = len(raw) - 127, b"\x7f"
    while rest >= 128:
        more, rest = more + bytes([rest % 128 + 128]), rest // 128
    return more + bytes([rest]) + raw


def _any_frame(draw: random.Random) -> bytes:
    kind = draw.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200))
    payload = draw.randbytes(draw.choice((0, 4, 5, 6, 8, 30, 300)))
    length = draw.choice((None, None, None, 0, 16_385, 2**24 - 1))
    return _frame(kind, draw.choice((0, 1, 4, 8, 0x20, 0xFF)), draw.choice((0, 1, 3, 5, 2**31 - 1)), payload, length)


def _records(draw: random.Random) -> Shot:
    """Records of TLS (RFC 8446, 5.1), most of them beginnings of a handshake."""
    made = b""
    for _ in range(draw.randint(1, 4)):
        payload = draw.choice((b"\x01\x00", b"\x01\xff", b"", b"\x02")) + draw.randbytes(draw.randint(0, 400))
        size = draw.choice((len(payload), len(payload), 0, 65_535, 3))
        made += bytes([draw.choice((22, 22, 21, 20, 23, 24, 0, 255)), 3, draw.choice((0, 1, 3, 4, 9))])
        made += size.to_bytes(2, "big") + payload
    return Shot("records", (made,), "https")


def _place(draw: random.Random) -> tuple[str, tuple[str, ...] | None]:
    return draw.choice((("http", None), ("http", None), ("https", ("http/1.1",))))


def _turned(draw: random.Random, piece: bytes) -> bytes:
    turned = bytearray(piece)
    for _ in range(draw.randint(1, 6)):
        if turned:
            turned[draw.randrange(len(turned))] ^= 1 << draw.randrange(8)
    return bytes(turned)


_KINDS: tuple[Callable[[random.Random], Shot], ...] = (
    _request, _request, _smuggling, _smuggling, _smuggling, _chunks, _noise, _frames, _frames, _records,
)  # fmt: skip
