"""Backends for live tests: HTTP/1.1 servers in one thread that answer with what they received, as JSON.

A path that ends in `/auth` or `/auth-request` is a sign-in service: 401, or 200 and `X-Auth-Request-User: ann` for a
request with the cookie `_oauth2_proxy`.

Other paths with a meaning: `/status/NNN` answers that code, `/only/NAME/NNN` does so on that backend alone,
`/slow/SECONDS` waits first, `/stream/N` sends N lines one by one, `/events/N` the same as server-sent events, `/reset`
ends the connection without an answer; a request to upgrade is answered with 101 and then echoed byte for byte. An
argument `answer=Name: value` adds that header to the answer, `size=N` makes its body at least N bytes long, `header=N`
adds a header of N bytes.

`Blackhole` is an address where connections hang; `PodProcess` is a backend that is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

_REQUEST = re.compile(rb"(\S+) (\S+) HTTP/1\.[01]")


@dataclass
class Backend:
    """One server. `name` is what answers carry; `requests` are those received so far,
    `begun` counts those of which the head has come, `answered` are the targets whose answer was taken as a whole.
    """

    name: str
    host: str
    port: int
    server: asyncio.Server
    requests: list[dict[str, object]] = field(default_factory=list)
    connections: int = 0
    begun: int = 0
    answered: list[str] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)


class Backends:
    """Starts and stops backends on loopback addresses. Use as a context manager."""

    def __enter__(self) -> Backends:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._all: list[Backend] = []
        return self

    def __exit__(self, *_: object) -> None:
        for backend in self._all:
            self.stop(backend)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, name: str, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Backend:
        """With `tls` it speaks HTTPS, and its answers tell about the handshake."""
        return asyncio.run_coroutine_threadsafe(self._start(name, host, port, tls), self._loop).result()

    def stop(self, backend: Backend) -> None:
        """Closes the listener and every connection, as a process that exits does."""
        asyncio.run_coroutine_threadsafe(self._stop(backend), self._loop).result()

    async def _start(self, name: str, host: str, port: int, tls: ssl.SSLContext | None) -> Backend:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            backend.connections += 1
            backend.writers.add(writer)
            try:
                while await _answer(backend, reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass
            finally:
                backend.writers.discard(writer)
                writer.close()

        server = await asyncio.start_server(serve, host, port, ssl=tls)
        backend = Backend(name, host, server.sockets[0].getsockname()[1], server)
        self._all.append(backend)
        return backend

    async def _stop(self, backend: Backend) -> None:
        backend.server.close()
        for writer in list(backend.writers):
            writer.transport.abort()
        await asyncio.sleep(0)


class Blackhole:
    """A place that nothing comes back from: it listens, its queue is full, and nobody accepts. A context manager."""

    host = "127.0.0.1"

    def __enter__(self) -> Blackhole:
        self._listener = socket.socket()
        self._listener.bind((self.host, 0))
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._waiting: list[socket.socket] = []
        while self._connects():
            assert len(self._waiting) < 10, "connections do not hang here"
        return self

    def _connects(self) -> bool:
        trial = socket.socket()
        trial.setblocking(False)
        trial.connect_ex((self.host, self.port))
        self._waiting.append(trial)
        return bool(select.select([], [trial], [], 0.2)[1])

    def __exit__(self, *_: object) -> None:
        for opened in (*self._waiting, self._listener):
            opened.close()


class PodProcess:
    """`pod.py`, running. `keep`: whether it keeps connections."""

    host = "127.0.0.1"

    def __init__(self, *, keep: bool) -> None:
        script = str(Path(__file__).parent / "pod.py")
        command = [sys.executable, "-S", "-E", script, *([] if keep else ["close"])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def terminate(self) -> None:
        """SIGTERM; does not wait."""
        self._process.terminate()

    def reap(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


async def _answer(backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    backend.begun += 1
    first, *lines = head[:-4].split(b"\r\n")
    request = _REQUEST.fullmatch(first)
    if request is None:
        return False  # what came by a TCP port may be anything
    method, target = (part.decode() for part in request.groups())
    pairs = [tuple(part.decode("latin-1") for part in line.split(b": ", 1)) for line in lines]
    headers = {name.lower(): value for name, value in (pair if len(pair) == 2 else (pair[0], "") for pair in pairs)}
    body = await _body(reader, headers)
    seen: dict[str, object] = {
        "backend": backend.name,
        "method": method,
        "target": target,
        "version": first[-3:].decode(),
        "headers": headers,
        "header_names": [pair[0].rstrip(":") for pair in pairs],
        "body": body.decode("latin-1"),
        **handshake_of(writer),
    }
    backend.requests.append(seen)
    if "/reset" in target:
        writer.transport.abort()
        return False
    if headers.get("upgrade"):
        await _echo(reader, writer)
        return False
    await _respond(seen, target, writer)
    backend.answered.append(target)
    return headers.get("connection", "").lower() != "close"


def handshake_of(writer: asyncio.StreamWriter) -> dict[str, object]:
    """What the handshake came to: the name asked for (where the context notes it), version, cipher, client."""
    tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    if tls is None:
        return {}
    subject: Any = (tls.getpeercert() or {}).get("subject", ())
    client = next((value for ((key, value), *_) in subject if key == "commonName"), None)
    cipher = tls.cipher()
    return {
        "tls": {
            "sni": getattr(tls, "name_asked_for", None),
            "version": tls.version(),
            "cipher": cipher[0] if cipher else "",
            "client": client,
            "resumed": tls.session_reused,
        }
    }


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def _respond(seen: dict[str, object], target: str, writer: asyncio.StreamWriter) -> None:
    status = 200
    if found := re.search(r"/status/(\d{3})", target):
        status = int(found[1])
    if (found := re.search(r"/only/(\w+)/(\d{3})", target)) and found[1] == seen["backend"]:
        status = int(found[2])
    if found := re.search(r"/slow/([\d.]+)", target):
        await asyncio.sleep(float(found[1]))
    if found := re.search(r"/(stream|events)/(\d+)", target):
        kind, shape = ("text/plain", "line {}\n") if found[1] == "stream" else ("text/event-stream", "data: {}\n\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for number in range(int(found[2])):
            line = shape.format(number).encode()
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(b"0\r\n\r\n")
        return
    arguments = urllib.parse.parse_qs(target.partition("?")[2])
    padding = " " * int(arguments.get("size", ["0"])[0])
    body = json.dumps({**seen, "padding": padding} if padding else seen).encode()
    added = "".join(f"{header}\r\n" for header in arguments.get("answer", ())).encode()
    if re.search(r"/auth(-request)?(\?|$)", target):
        signed_in = "_oauth2_proxy" in str(cast(dict[str, str], seen["headers"]).get("cookie"))
        status = 200 if signed_in else 401
        added += b"X-Auth-Request-User: ann\r\n" if signed_in else b""
    if "header" in arguments:
        added += b"X-Long: %s\r\n" % (b"x" * int(arguments["header"][0]))
    extra = b"X-Accel-Redirect: /internal\r\nX-Backend: yes\r\nStrict-Transport-Security: max-age=1\r\nServer: pod\r\n"
    writer.write(
        b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
        % (status, extra + added, len(body))
        + (b"" if seen["method"] == "HEAD" else body)
    )
    await writer.drain()
