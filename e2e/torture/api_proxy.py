"""A proxy in front of a real API server that does to its answers what the faults of the moment say.

    with ApiProxy(server, authority, certificates) as proxy, proxy.faulty(Storm(503)): ...

It ends TLS, passes requests on with the token that they bring, and takes watches apart into lines, so that a fault can
change, hold back, repeat or cut each of them. Faults come and go while it runs, on a thread of its own; what they do
is in `api_faults.py`. Every request is kept with its time, to tell a busy loop.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from e2e.controlplane.certificates import KeyPair
from e2e.torture.api_wire import (
    Cut,
    Fault,
    Request,
    head_of,
    joined,
    kept_of,
    read_body,
    read_chunk,
    read_head,
    read_request,
    until_closed,
    write_chunk,
)

LONGEST = 64 << 20
"""Bytes of one line or head that are read from the API server."""

PIECES = 8
"""Into so many pieces an answer is cut that is to trickle."""


class ApiProxy:
    """Listens on loopback from the start of the block to its end, on one port all the while."""

    def __init__(self, server: str, authority: str, certificate: KeyPair, port: int) -> None:
        """`server` is the URL of the API server, `authority` the file that verifies it."""
        url = urlsplit(server)
        self._server = (url.hostname or "", url.port or 443)
        self._upstream = ssl.create_default_context(cafile=authority)
        self._certificate, self._port = certificate, port
        self._faults: tuple[Fault, ...] = ()
        self._door: asyncio.Server | None = None
        self._clients: set[StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = f"https://127.0.0.1:{port}"
        self.requests: list[Request] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- what tests do with it

    @contextmanager
    def faulty(self, *faults: Fault, cut: bool = True) -> Iterator[None]:
        """These faults, together, for the block; unless told otherwise all connections are cut as it begins."""
        self._faults = faults
        if cut:
            self.cut()
        try:
            yield
        finally:
            self._faults = ()

    def open(self, certificate: KeyPair | None = None) -> None:
        """Listen, from now on with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(certificate or self._certificate))
        self._do(self._open(context))

    def close(self) -> None:
        """Refuse connections, and break those that are."""
        self._do(self._close())

    def cut(self) -> None:
        """Break all connections."""
        self._do(self._cut())

    def asked(self, since: float, meets: Callable[[Request], bool] = lambda _: True) -> list[Request]:
        """Requests since a moment on the monotonic clock."""
        return [request for request in tuple(self.requests) if request.at >= since and meets(request)]

    # -- on the loop

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self, context: ssl.SSLContext) -> None:
        self._door = await asyncio.start_server(self._connected, "127.0.0.1", self._port, ssl=context, limit=LONGEST)

    async def _close(self) -> None:
        if self._door:
            self._door.close()
        await self._cut()

    async def _cut(self) -> None:
        for writer in tuple(self._clients):
            writer.transport.abort()

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while request := await read_request(reader):
                self.requests.append(request)
                await self._while_there(reader, self._serve(request, writer))
        except (OSError, IncompleteReadError, Cut, ssl.SSLError):
            pass
        finally:
            self._clients.discard(writer)
            writer.transport.abort()

    async def _while_there(self, reader: StreamReader, work: Coroutine[Any, Any, None]) -> None:
        """Ends the work when the client leaves; it sends nothing before it has its answer."""
        serving = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(until_closed(reader))
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not serving.done():
            serving.cancel()
            raise Cut
        serving.result()

    async def _serve(self, request: Request, client: StreamWriter) -> None:
        for fault in self._met(request):
            if reply := await fault.answer(request):
                await self._send(request, client, reply.status, reply.headers, reply.body)
                return
        reader, upstream = await asyncio.open_connection(*self._server, ssl=self._upstream, limit=LONGEST)
        try:
            upstream.write(head_of(request, self._target(request)) + request.body)
            status, headers = await read_head(reader)
            if request.watch and status == 200:
                await self._stream(request, reader, client)
            else:
                body = await read_body(reader, headers)
                await self._send(request, client, status, kept_of(headers), self._changed(request, status, body))
        finally:
            upstream.transport.abort()

    def _met(self, request: Request) -> tuple[Fault, ...]:
        return tuple(fault for fault in self._faults if fault.meets(request))

    def _target(self, request: Request) -> str:
        return next((new for fault in self._met(request) if (new := fault.target(request)) != request.target), "")

    def _changed(self, request: Request, status: int, body: bytes) -> bytes:
        if status != 200 or not request.list:
            return body
        document = json.loads(body)
        for fault in self._met(request):
            document = fault.page(request, document)
        return json.dumps(document).encode()

    async def _send(
        self, request: Request, client: StreamWriter, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        """Pauses between the pieces as faults say."""
        headers = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
        client.write(joined([f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]))
        pause = sum(fault.pause(request) for fault in self._met(request))
        size = len(body) // PIECES + 1 if pause else max(len(body), 1)
        for begin in range(0, len(body), size):
            client.write(body[begin : begin + size])
            await client.drain()
            await asyncio.sleep(pause)

    async def _stream(self, request: Request, reader: StreamReader, client: StreamWriter) -> None:
        client.write(joined(["HTTP/1.1 200 -", "Content-Type: application/json", "Transfer-Encoding: chunked"]))
        for fault in self._met(request):
            for piece in fault.begin(request):
                await write_chunk(client, piece)
        rest = b""
        while chunk := await read_chunk(reader):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                await self._pass(request, line + b"\n", client)
        client.write(b"0\r\n\r\n")
        await client.drain()

    async def _pass(self, request: Request, line: bytes, client: StreamWriter) -> None:
        pieces: list[bytes] = [line]
        for fault in self._met(request):
            pieces = [new for piece in pieces for new in fault.line(request, piece)]
        for piece in pieces:
            if piece:
                await write_chunk(client, piece)
            else:
                raise Cut
