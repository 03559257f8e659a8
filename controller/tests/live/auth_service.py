"""An authentication service for live tests, as oauth2-proxy and its like are.

Who has the cookie `session=NAME` is let in as NAME, the session `banned` gets 403, anyone else 401. Each answer has two
cookies, one of them with a comma in its date, unless the path is `/bare`. The answers to `/status/NNN`, `/reset`,
`/large` (headers of 6,000 bytes) and `/body` (401 with a long body) are what they say.
"""

from __future__ import annotations

import re
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DATE = "Wed, 09 Jun 2032 10:18:14 GMT"
COOKIES = [f"_proxy=a.b-c; Path=/; Expires={DATE}; HttpOnly", "_proxy_1=second; Path=/; SameSite=Lax"]


@dataclass(frozen=True)
class Question:
    """One request that the service got."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class AuthService:
    """Runs in a thread. `questions`: those got so far; `connections`: how many there were. A context manager."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.questions: list[Question] = []
        self.connections = 0
        service = self

        class Handler(_Handler):
            asked = service

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> AuthService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def about(self, mark: str) -> list[Question]:
        """Questions about requests that carried the mark in their URI or in the header X-Mark."""
        return [
            q for q in self.questions if mark in q.headers.get("x-original-url", "") or q.headers.get("x-mark") == mark
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: AuthService

    def setup(self) -> None:
        self.asked.connections += 1
        super().setup()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked.questions.append(Question(self.command, self.path, headers, body))
        if "/reset" in self.path:
            self.close_connection = True
            return
        session = re.search(r"\bsession=(\w+)", headers.get("cookie", ""))
        status = 401 if session is None else 403 if session[1] == "banned" else 200
        if found := re.search(r"/status/(\d{3})", self.path):
            status = int(found[1])
        self._send(status, session[1] if session else "")

    def _send(self, status: int, user: str) -> None:
        body = b"x" * 20_000 if "/body" in self.path and status == 401 else b""
        self.send_response(status)
        for cookie in COOKIES if "/bare" not in self.path else ():
            self.send_header("Set-Cookie", cookie)
        self._header("X-User", user)
        self._header("X-Groups", "admins, users" if user == "ann" else "")
        self._header("Authorization", f"Bearer token-of-{user}" if user else "")
        self._header("X-Long", "x" * 6_000 if "/large" in self.path else "")
        self._header("WWW-Authenticate", "Bearer" if status == 401 else "")
        self._header("Content-Length", str(len(body)) if status != 204 else "")
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def _header(self, name: str, value: str) -> None:
        if value:
            self.send_header(name, value)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)
