"""A FastCGI application for tests: answers with its parameters and its input, as JSON.

Records of https://fastcgi-archives.github.io/FastCGI_Specification.html, one request per connection. The path
`/status/NNN` answers that code, `/accel` tries to reach an internal place of nginx.
"""

from __future__ import annotations

import json
import re
import socketserver
import struct
import threading
from collections.abc import Iterator

_BEGIN, _END, _PARAMS, _INPUT, _OUTPUT = 1, 3, 4, 5, 6


class FastCgiServer:
    """Serves in threads of its own. Use as a context manager."""

    host = "127.0.0.1"

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[dict[str, str]] = []

    def __enter__(self) -> FastCgiServer:
        application = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                application.answer(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server((self.host, 0), Connection)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, connection: socketserver.StreamRequestHandler) -> None:
        params, body = b"", b""
        for kind, content in self._records(connection):
            if kind == _PARAMS:
                params += content
            elif kind == _INPUT and content:
                body += content
            elif kind == _INPUT:
                break
        else:
            return
        found = dict(_pairs(params))
        self.seen.append(found)
        text = self._text(found, body)
        for start in range(0, len(text), 60_000):
            connection.wfile.write(_record(_OUTPUT, text[start : start + 60_000]))
        connection.wfile.write(_record(_OUTPUT, b"") + _record(_END, bytes(8)))

    def _text(self, params: dict[str, str], body: bytes) -> bytes:
        uri = params.get("REQUEST_URI", "")
        status = re.search(r"/status/(\d{3})", uri)
        head = f"Status: {status[1] if status else 200}\r\nContent-Type: application/json\r\n"
        head += "X-Accel-Redirect: /secret\r\n" if "/accel" in uri else ""
        account = {"backend": self.name, "params": params, "body": body.decode("latin-1")}
        return f"{head}\r\n".encode() + json.dumps(account).encode()

    def _records(self, connection: socketserver.StreamRequestHandler) -> Iterator[tuple[int, bytes]]:
        while len(head := connection.rfile.read(8)) == 8:
            _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", head)
            content = connection.rfile.read(length)
            connection.rfile.read(padding)
            yield kind, content


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def _pairs(data: bytes) -> Iterator[tuple[str, str]]:
    position = 0

    def length() -> int:
        nonlocal position
        first = data[position]
        if first < 128:
            position += 1
            return first
        position += 4
        return int(struct.unpack("!I", data[position - 4 : position])[0]) & 0x7FFFFFFF

    while position < len(data):
        sizes = length(), length()
        texts = []
        for size in sizes:
            texts.append(data[position : position + size].decode("latin-1"))
            position += size
        yield texts[0], texts[1]
