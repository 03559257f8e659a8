"""TLS and HTTP/2 as a client sees them: what a handshake agrees on, and one request over HTTP/2.

HTTP/2 is spoken with the few frames that one GET needs (RFC 9113), headers as literals (RFC 7541, 6.2.2).
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from controller.tests.live.headrace import Headrace

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 0x1, 0x4
_MAX_CONCURRENT_STREAMS = 3


@dataclass(frozen=True)
class Handshake:
    """`leaf` is DER; `protocol` is what ALPN chose, None where nothing was chosen."""

    leaf: bytes
    version: str
    cipher: str
    protocol: str | None


def shake(
    headrace: Headrace,
    name: str | None,
    *,
    version: ssl.TLSVersion | None = None,
    alpn: tuple[str, ...] = (),
    root: bytes = b"",
    ciphers: str = "",
) -> Handshake:
    """One handshake. With a `root` (PEM) the chain and the name are verified. Raises `ssl.SSLError` where refused."""
    context = ssl.create_default_context(cadata=root.decode() or None)
    if not root:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
    if version:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with (
        socket.create_connection(("127.0.0.1", headrace.https), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        cipher = tls.cipher()
        return Handshake(
            leaf=tls.getpeercert(binary_form=True) or b"",
            version=tls.version() or "",
            cipher=cipher[0] if cipher else "",
            protocol=tls.selected_alpn_protocol(),
        )


def leaf_of(pair: tuple[bytes, bytes]) -> bytes:
    """The first certificate of a pair, DER."""
    return x509.load_pem_x509_certificate(pair[0]).public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Http2Answer:
    """`ok`: the status was 200. `max_streams`: as the server announced them."""

    ok: bool
    body: bytes
    max_streams: int


def get_http2(headrace: Headrace, host: str, path: str = "/") -> Http2Answer:
    """One GET over HTTP/2."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", headrace.https), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        assert tls.selected_alpn_protocol() == "h2"
        request = b"\x82\x87" + _literal(4, path) + _literal(1, host)
        tls.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS | _END_STREAM, 1, request))
        return _read_answer(tls)


def _read_answer(tls: ssl.SSLSocket) -> Http2Answer:
    ok, body, max_streams = False, b"", 0
    while True:
        head = _exactly(tls, 9)
        length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
        payload = _exactly(tls, length)
        if kind == _SETTINGS:
            settings = {int.from_bytes(payload[i : i + 2]): payload[i + 2 : i + 6] for i in range(0, length, 6)}
            max_streams = int.from_bytes(settings.get(_MAX_CONCURRENT_STREAMS, b"")) or max_streams
        elif kind == _HEADERS:
            ok = b"\x88" in payload[:4]  # index 8 of the static table: `:status: 200`
        elif kind == _DATA:
            body += payload
        if kind in (_HEADERS, _DATA) and flags & _END_STREAM:
            return Http2Answer(ok, body, max_streams)


def _literal(index: int, value: str) -> bytes:
    text = value.encode()
    assert len(text) < 127
    return bytes([index, len(text)]) + text


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _exactly(tls: ssl.SSLSocket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        data = tls.recv(count - len(received))
        assert data, "closed in the middle of a frame"
        received += data
    return received
