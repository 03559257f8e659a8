"""What passes through the proxy of `api_proxy.py`: requests, answers, HTTP/1.1 as bytes, and the base of all faults."""

from __future__ import annotations

import asyncio
import time
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Cut(Exception):
    """Break the connection now, without an end."""


@dataclass(frozen=True, slots=True)
class Request:
    """`resource` is the plural name, `part` what stands below the object, as `status`."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def resource(self) -> str:
        words = urlsplit(self.target).path.strip("/").split("/")[2 if self.target.startswith("/api/") else 3 :]
        return words[2] if words[0] == "namespaces" and len(words) > 2 else words[0]

    @property
    def part(self) -> str:
        return self.target.rpartition("/")[2] if self.target.endswith("/status") else ""

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def watch(self) -> bool:
        return "watch" in self.query

    @property
    def list(self) -> bool:
        return self.method == "GET" and not self.watch and self.resource != "leases"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that never came from the API server."""

    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


class Fault:
    """Base of all faults: does nothing. Hooks run on the proxy's loop and may keep state."""

    resources: frozenset[str] = frozenset()
    """Empty for all."""

    def meets(self, request: Request) -> bool:
        return not self.resources or request.resource in self.resources

    async def answer(self, request: Request) -> Reply | None:
        """Instead of the API server; None lets it answer. May wait. Raises `Cut`."""
        return None

    def target(self, request: Request) -> str:
        """What the API server is asked instead."""
        return request.target

    def page(self, request: Request, document: dict[str, Any]) -> dict[str, Any]:
        """A page of a list, as it goes to the client."""
        return document

    def begin(self, request: Request) -> Iterable[bytes]:
        """What a watch says before the API server says anything."""
        return ()

    def line(self, request: Request, line: bytes) -> Iterable[bytes]:
        """What is sent for one line of a watch, ends of lines included. Raises `Cut`."""
        yield line

    def pause(self, request: Request) -> float:
        """Seconds between two pieces of an answer."""
        return 0.0


async def write_chunk(client: StreamWriter, piece: bytes) -> None:
    client.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    await client.drain()


async def until_closed(reader: StreamReader) -> None:
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.05)


async def read_request(reader: StreamReader) -> Request | None:
    with suppress(IncompleteReadError):
        first, headers = await _read_fields(reader)
        method, target, _ = first.split(" ")
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body, time.monotonic())
    return None


async def read_head(reader: StreamReader) -> tuple[int, dict[str, str]]:
    first, headers = await _read_fields(reader)
    return int(first.split(" ")[1]), headers


async def _read_fields(reader: StreamReader) -> tuple[str, dict[str, str]]:
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return first, {name.lower(): value.strip() for name, _, value in pairs}


async def read_body(reader: StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while chunk := await read_chunk(reader):
        body += chunk
    return body


async def read_chunk(reader: StreamReader) -> bytes:
    """Empty at the end."""
    size = int(await reader.readline() or b"0", 16)
    chunk = await reader.readexactly(size)
    await reader.readline()
    return chunk


def head_of(request: Request, target: str) -> bytes:
    headers = {**request.headers, "connection": "close", "accept-encoding": "identity"}
    return joined(
        [
            f"{request.method} {target or request.target} HTTP/1.1",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
    )


def kept_of(headers: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in headers.items() if name == "retry-after"}


def joined(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()
