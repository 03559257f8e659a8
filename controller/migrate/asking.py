"""Sends requests to one of two addresses and takes down what comes back.

Guarantees: connects to the addresses that were given and to no other, whatever host a request names and wherever an
answer points; follows no redirect; sends GET, HEAD and OPTIONS only; reads a bounded part of a body. Certificates are
not checked, they are compared: the two controllers may well have different ones.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from controller.migrate.requests import Request
from controller.model.errors import UsageError
from controller.version import __version__

METHODS = ("GET", "HEAD", "OPTIONS")
LONGEST_BODY = 1024 * 1024
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where one controller listens: `(host, port)` by scheme; a scheme that is missing is not asked for."""

    places: dict[str, tuple[str, int]]

    @classmethod
    def parse(cls, text: str) -> Address:
        """`http://ADDRESS`, `https://ADDRESS`, with ports, or several by commas. Raises `UsageError`."""
        places: dict[str, tuple[str, int]] = {}
        for url in text.split(","):
            try:
                parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip()}")
                port = parts.port
            except ValueError as error:
                raise UsageError(f"not a URL: {url!r}") from error
            if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
                raise UsageError(f"expected http://ADDRESS or https://ADDRESS without a path, not {url!r}")
            places[parts.scheme] = (parts.hostname, port or _PORTS[parts.scheme])
            if port is None and "," not in text:
                places |= {s: (parts.hostname, p) for s, p in _PORTS.items() if s not in places}
        return cls(places)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `error` is set where nothing did, and all else is empty then.

    `headers` are in their order with lower-case names. `digest` is of the body, `backend` what named the backend in it.
    `certificate` is the digest of the leaf that was shown.
    """

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    backend: str = ""
    certificate: str = ""
    error: str = ""

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask. `rate` is requests a second to each side; `timeout` is in seconds, for one answer."""

    rate: float = 20.0
    concurrency: int = 4
    timeout: float = 10.0
    backend_header: str = ""
    backend_body: re.Pattern[bytes] | None = None


@dataclass(slots=True)
class Asker:
    """Asks at the pace of its manner, from any number of threads."""

    manner: Manner
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _next: float = 0.0

    def pairs(
        self, requests: Iterable[Request], old: Address, new: Address
    ) -> Iterator[tuple[Request, Answer, Answer]]:
        """Both answers to each request, in the order of the requests."""

        def both(request: Request) -> tuple[Request, Answer, Answer]:
            self._wait()
            return request, self.ask(request, old), self.ask(request, new)

        with ThreadPoolExecutor(self.manner.concurrency) as pool:
            yield from pool.map(both, requests)

    def again(self, request: Request, address: Address) -> Answer:
        """One more time, at the same pace."""
        self._wait()
        return self.ask(request, address)

    def ask(self, request: Request, address: Address) -> Answer:
        """Never raises for what the other side does."""
        assert request.method in METHODS
        host, port = address.places[request.scheme]
        try:
            with socket.create_connection((host, port), timeout=self.manner.timeout) as plain:
                return self._over(request, plain)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Answer(error=_told(error))

    def _over(self, request: Request, plain: socket.socket) -> Answer:
        certificate = b""
        connection = http.client.HTTPConnection(request.host, timeout=self.manner.timeout)
        connection.sock = plain
        try:
            if request.scheme == "https":
                connection.sock = secure = _trusting().wrap_socket(plain, server_hostname=request.host)
                certificate = secure.getpeercert(binary_form=True) or b""
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            sent = {"Host": request.host, "User-Agent": f"headrace-migrate/{__version__}", "Accept": "*/*"}
            for name, value in (*sent.items(), *request.headers, ("Connection", "close")):
                connection.putheader(name, value.encode("utf-8"))
            connection.endheaders()
            response = connection.getresponse()
            return self._answer(response, response.read(LONGEST_BODY), certificate)
        finally:
            connection.close()

    def _answer(self, response: http.client.HTTPResponse, body: bytes, certificate: bytes) -> Answer:
        headers = tuple((name.lower(), value) for name, value in response.getheaders())
        backend = response.getheader(self.manner.backend_header, "") if self.manner.backend_header else ""
        if self.manner.backend_body and (found := self.manner.backend_body.search(body)):
            backend = found.group(1 if found.re.groups else 0).decode("utf-8", "replace")
        return Answer(response.status, headers, _digest(body), backend or "", _digest(certificate))

    def _wait(self) -> None:
        with self._turn:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + 1 / self.manner.rate
        time.sleep(max(0.0, at - now))


def _trusting() -> ssl.SSLContext:
    """Checks nothing: what is shown is compared instead."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16] if content else ""


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"
