"""A small HTTP server on loopback that answers like an API server, byte by byte as a test says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """`pieces` are sent as chunks, with a pause of seconds after each; `cut` breaks the connection after the last."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] | None = None
    pause: float = 0.0
    cut: bool = False


def authority(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that is its own authority: the file for clients, and what a server needs."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, pair = directory / "ca.crt", directory / "pair.pem"
    certificate.write_bytes(built.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pair.write_bytes(private + certificate.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return certificate, context


Answering = Callable[[Request], Reply]


@dataclass
class ApiServer:
    url: str
    requests: list[Request]


@asynccontextmanager
async def api_server(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[ApiServer]:
    requests: list[Request] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                requests.append(request)
                await _write(writer, answer(request))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield ApiServer(f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests)
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    url = urlsplit(target)
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, body)


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> None:
    headers = {"Content-Type": "application/json", **reply.headers}
    if reply.pieces is None:
        headers["Content-Length"] = str(len(reply.body))
    else:
        headers["Transfer-Encoding"] = "chunked"
    head = f"HTTP/1.1 {reply.status} X\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n"
    writer.write(head.encode() + (reply.body if reply.pieces is None else b""))
    for piece in reply.pieces or ():
        writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await writer.drain()
        await asyncio.sleep(reply.pause)
    if reply.cut:
        raise ConnectionError
    if reply.pieces is not None:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
