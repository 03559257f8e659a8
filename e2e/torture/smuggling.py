"""Shapes in which a second request is hidden from a proxy, or the end of the first (RFC 9112, sections 11.1 and 11.2).

`HIDDEN` is the request that nobody may ever see. A shape says what a careful reader makes of its bytes; a pod may
receive that or less. `{n}` in a shape is its number, so that what arrives can be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass

HIDDEN = b"GET /hidden/{n} HTTP/1.1\r\nHost: HOST.test\r\nX: 1\r\n\r\n"

Seen = tuple[str, bytes]
"""Method, and body. The target is the shape's own."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`raw` is for a host of four letters below `.test`; `seen` is the most that a pod may receive, in this order."""

    name: str
    raw: bytes
    seen: tuple[Seen, ...] = ()

    def sent(self, number: int, host: str) -> bytes:
        """Bytes for the wire. What is put in has the length of what stands there, so that lengths remain right."""
        return _filled(self.raw, number, host)

    def may_arrive(self, number: int, host: str) -> list[Seen]:
        return [(method, _filled(body, number, host)) for method, body in self.seen]


def _filled(text: bytes, number: int, host: str) -> bytes:
    return text.replace(b"HOST.test", host.encode()).replace(b"{n}", b"%03d" % number)


def shapes() -> tuple[Shape, ...]:
    return (*_lengths(), *_codings(), *_chunks(), *_lines(), *_hosts(), *_versions(), *_good())


def _post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\n" + headers + b"\r\n\r\n" + body


def _lengths() -> list[Shape]:
    """Content-Length that is doubled, or no number."""
    values = (
        b"+5",
        b"-5",
        b"0x5",
        b"5,5",
        b"5, 6",
        b"5 5",
        b"\x0b5",
        b"5\x0b",
        b"5;",
        b"",
        b"99999999999999999999",
        b"5\x00",
    )
    found = [Shape(f"length {value!r}", _post(b"Content-Length: " + value, b"hello" + HIDDEN)) for value in values]
    for first, second in ((b"5", b"0"), (b"0", b"5"), (b"5", b"5"), (b"0", b"%d" % (5 + len(HIDDEN)))):
        raw = _post(b"Content-Length: %s\r\nContent-Length: %s" % (first, second), b"hello" + HIDDEN)
        found.append(Shape(f"lengths {first!r} and {second!r}", raw))
    for name in (
        b"Content-Length ",
        b" Content-Length",
        b"Content-Length\t",
        b"Content\x00-Length",
        b"Content-Length\r\n ",
    ):
        found.append(Shape(f"name {name!r}", _post(name + b": %d" % len(HIDDEN), HIDDEN), (("POST", b""),)))
    for name in (b"Content_Length", b"Content-Length:", b"X-Content-Length"):
        found.append(
            Shape(f"name {name!r}", _post(name + b": %d\r\nConnection: close" % len(HIDDEN), HIDDEN), (("POST", b""),))
        )
    return found


def _codings() -> list[Shape]:
    """Transfer-Encoding beside Content-Length, and written so that only one reader knows it."""
    chunked = b"0\r\n\r\n" + HIDDEN
    found = [
        Shape("CL.TE", _post(b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(chunked), chunked)),
        Shape(
            "TE.CL", _post(b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"5c\r\n" + HIDDEN + b"\r\n0\r\n\r\n")
        ),
        Shape("CL.0", _post(b"Transfer-Encoding: chunked\r\nContent-Length: 0", chunked)),
    ]
    values = (
        b"xchunked", b"chunked, identity", b"identity, chunked", b"chunked, chunked", b"identity", b"\x0bchunked",
        b"chunked\x0b", b"chunked\x00", b'"chunked"', b"chunked;x=1", b"gzip, chunked", b"cow", b"", b"chunked,",
        b", chunked", b"chunked\xa0", b"\xa0chunked",
    )  # fmt: skip
    for value in values:
        for length in (b"", b"\r\nContent-Length: %d" % len(chunked)):
            found.append(Shape(f"coding {value!r} {length!r}", _post(b"Transfer-Encoding: " + value + length, chunked)))
    names = (
        b"Transfer-Encoding : ", b"Transfer-Encoding\t: ", b" Transfer-Encoding: ", b"Transfer-Encoding\r\n : ",
        b"Transfer-Encoding:\r\n ", b"X: y\r\n Transfer-Encoding: ", b"X: y\nTransfer-Encoding: ",
        b"Transfer-Encoding\x00: ",
        b"X: y\rTransfer-Encoding: ", b"Transfer\xc2\xadEncoding: ",
    )  # fmt: skip
    for name in names:
        raw = _post(name + b"chunked\r\nContent-Length: %d" % len(chunked), chunked)
        found.append(Shape(f"coding {name!r}", raw, (("POST", chunked),)))
    for value in (b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked"):
        raw = _post(b"Transfer-Encoding: " + value, b"5\r\nhello\r\n0\r\n\r\n")
        found.append(Shape(f"coding {value!r}", raw, (("POST", b"hello"),)))
    doubled = b"Transfer-Encoding: chunked\r\nTransfer-Encoding: "
    return found + [Shape(f"codings {b!r}", _post(doubled + b, chunked)) for b in (b"cow", b"chunked", b"identity")]


def _chunks() -> list[Shape]:
    """Chunks whose size two readers could take for two numbers, and what may stand around them."""
    head = b"Transfer-Encoding: chunked"
    sizes = (
        b"-0", b"+5", b"0x5", b" 5", b"g", b"", b"5\x00", b"FFFFFFFFFFFFFFFB", b"10000000000000005", b"5,",
        b"5\x0b", b"'5'",
    )  # fmt: skip
    found = [Shape(f"size {size!r}", _post(head, size + b"\r\nhello\r\n0\r\n\r\n" + HIDDEN)) for size in sizes]
    bodies = {
        "extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
        "extension in quotes": b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
        "extension with LF": b"5;a\nhello\r\n0\r\n\r\n",
        "long extension": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        "space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
        "text behind the size": b"5 5\r\nhello\r\n0\r\n\r\n",
        "zeros": b"0000005\r\nhello\r\n000\r\n\r\n",
        "LF alone": b"5\nhello\n0\n\n",
        "CR alone": b"5\rhello\r0\r\r",
        "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
        "no end of the data": b"5\r\nhello0\r\n\r\n",
        "two letters for an end": b"5\r\nhelloXX0\r\n\r\n",
        "trailers": b"5\r\nhello\r\n0\r\nHost: other\r\nContent-Length: 7\r\nTransfer-Encoding: x\r\n\r\n",
        "trailer that is a request": b"5\r\nhello\r\n0\r\n" + HIDDEN,
        "last chunk with an extension": b"5\r\nhello\r\n0;" + b"a=b" * 10 + b"\r\n\r\n",
    }
    return found + [
        Shape(name, _post(head + b"\r\nConnection: close", body), (("POST", b"hello"),))
        for name, body in bodies.items()
    ]


def _lines() -> list[Shape]:
    """Line breaks, folds, spaces and zero bytes where they do not belong."""
    hidden = b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    heads = {
        "LF lines": b"GET /shape/{n} HTTP/1.1\nHost: HOST.test\nConnection: close\n\n",
        "CR lines": b"GET /shape/{n} HTTP/1.1\rHost: HOST.test\r\r",
        "folded": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\nX: a\r\n b\r\n\r\n",
        "folded at once": b"GET /shape/{n} HTTP/1.1\r\n Host: HOST.test\r\nHost: HOST.test\r\n\r\n",
        "CR in a value": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\nX: a\rContent-Length: 5\r\n\r\n",
        "LF in a value": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\nX: a\nY: b\r\nConnection: close\r\n\r\n",
        "NUL in a value": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\nX: a\x00b\r\n\r\n",
        "NUL in a name": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\nX\x00: a\r\n\r\n",
        "NUL in a target": b"GET /shape/{n}\x00 HTTP/1.1\r\nHost: HOST.test\r\n\r\n",
        "no colon": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\nnothing\r\n\r\n",
        "empty name": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\n: a\r\n\r\n",
        "space in a target": b"GET /shape/{n} HTTP/1.1 x HTTP/1.1\r\nHost: HOST.test\r\n\r\n",
        "tabs in the first line": b"GET\t/shape/{n}\tHTTP/1.1\r\nHost: HOST.test\r\n\r\n",
        "CR in a target": b"GET /shape/{n}\rX: HTTP/1.1\r\nHost: HOST.test\r\n\r\n",
        "empty lines ahead": b"\r\n\r\nGET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\nConnection: close\r\n\r\n",
        "colon in a header": b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\n:authority: other\r\n\r\n",
        "method with a break": b"GET\r\n /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\n\r\n",
        "CRLF as text": b"GET /shape/{n}?%0d%0aX:1 HTTP/1.1\r\nHost: HOST.test\r\n" + hidden,
    }
    return [Shape(name, raw, (("GET", b""),)) for name, raw in heads.items()]


def _hosts() -> list[Shape]:
    """More than one answer to the question whose request it is."""
    first = b"GET /shape/{n} HTTP/1.1\r\n"
    hosts = (
        b"", b"Host: HOST.test\r\nHost: other.test\r\n", b"Host: other.test\r\nHost: HOST.test\r\n", b"Host:\r\n",
        b"Host : HOST.test\r\n",
        b"Host: HOST.test, other.test\r\n", b"Host: HOST.test other.test\r\n", b"Host: HOST.test\x00.other.test\r\n",
        b"Host: HOST.test@other.test\r\n", b"Host: HOST.test#other.test\r\n", b"Host: HOST.test/x\r\n",
        b"Host: HOST.test:99999\r\n",
        b"Host: HOST.test:80:80\r\n", b"Host: [HOST.test]\r\n", b"Host: HOST.test\\other\r\n",
        b"X: 1\r\n Host: other.test\r\nHost: HOST.test\r\n",
    )  # fmt: skip
    found = [Shape(f"host {each!r}", first + each + b"\r\n", (("GET", b""),)) for each in hosts]
    targets = (
        b"http://HOST.test/shape/{n}", b"http://user@HOST.test/shape/{n}",
        b"http://HOST.test:80@other.test/shape/{n}", b"http:///shape/{n}",
        b"http://HOST.test\\/shape/{n}", b"ftp://HOST.test/shape/{n}", b"//HOST.test/shape/{n}", b"HOST.test:80",
        b"*", b"http://HOST.test",
    )  # fmt: skip
    for target in targets:
        raw = b"GET " + target + b" HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n"
        found.append(Shape(f"target {target!r}", raw, (("GET", b""),)))
    return found


def _versions() -> list[Shape]:
    """Other protocols, and ways out of this one."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
    found = [
        Shape("0.9", b"GET /shape/{n}\r\n"),
        Shape("h2c", b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\n" + upgrade + b"\r\n\r\n", (("GET", b""),)),
        Shape("h2c with a body", _post(upgrade + b"\r\nContent-Length: 5", b"hello"), (("POST", b"hello"),)),
        Shape("CONNECT", b"CONNECT HOST.test:80 HTTP/1.1\r\nHost: HOST.test\r\n\r\n" + HIDDEN),
        Shape("TRACE", b"TRACE /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\n\r\n"),
        Shape("PRI", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + HIDDEN),
        Shape("1.0 chunked",
        b"POST /shape/{n} HTTP/1.0\r\nHost: HOST.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN),
        Shape("websocket", _post(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5", b"hello"),
        (("POST", b"hello"),)),
        Shape("expect", _post(b"Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close", b"hello"),
        (("POST", b"hello"),)),
        Shape("hop by hop", _post(b"Connection: close, Content-Length, Host\r\nContent-Length: 5", b"hello"),
        (("POST", b"hello"),)),
    ]  # fmt: skip
    for version in (
        b"HTTP/1.10",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"http/1.1",
        b"HTTP/1.",
        b"HTTP/11",
        b"ICAP/1.0",
        b"HTTP/1.1x",
    ):
        raw = b"GET /shape/{n} " + version + b"\r\nHost: HOST.test\r\nConnection: close\r\n\r\n"
        found.append(Shape(f"version {version!r}", raw, (("GET", b""),)))
    return found


def _good() -> list[Shape]:
    """Allowed: each request arrives, and each answer comes back in its turn."""
    get = b"GET /shape/{n} HTTP/1.1\r\nHost: HOST.test\r\n"
    chunked = _post(b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")
    end = get + b"Connection: close\r\n\r\n"
    kept = b"GET /shape/{n} HTTP/1.0\r\nHost: HOST.test\r\nConnection: keep-alive\r\n\r\n"
    three = (("GET", b""), ("POST", b"hello"), ("GET", b""))
    return [
        Shape("good: pipeline", get + b"\r\n" + chunked + end, three),
        Shape("good: pipeline of lengths", get + b"\r\n" + _post(b"Content-Length: 5", b"hello") + end, three),
        Shape("good: 1.0 kept", kept + kept + end, (("GET", b""),) * 3),
        Shape("good: body that is a request", _post(b"Content-Length: 43\r\nConnection: close", b"x" * 43),
        (("POST", b"x" * 43),)),
    ]  # fmt: skip
