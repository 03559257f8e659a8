"""Requests from the test process to a running cluster: single ones, certificates, and waiting until something holds."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from e2e.cluster.app.client import Answer, Place, once

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """Where a release answers; the name of a URL goes into Host and SNI, never into DNS."""

    address: str
    http: int = 80
    https: int = 443

    def get(self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """One request on a fresh connection. Raises OSError or EOFError when there is no answer."""
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        return asyncio.run(once(self.place(host, tls=scheme == "https"), slash + path or "/", method, headers or {}))

    def place(self, host: str, *, tls: bool = False) -> Place:
        return Place(self.address, self.https if tls else self.http, host, tls)

    def pod(self, url: str) -> str | int:
        """The name of the pod that answers, or the status when no pod did."""
        answer = self.get(url)
        return str(echoed(answer)["pod"]) if answer.status == 200 else answer.status

    def status(self, url: str) -> int:
        return self.get(url).status

    def certificate(self, name: str) -> bytes:
        """The leaf (PEM) that a client with this SNI gets."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection((self.address, self.https), timeout=5)
        with context.wrap_socket(plain, server_hostname=name) as tls:
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"").encode()


def echoed(answer: Answer) -> dict[str, Any]:
    """What the test application received."""
    found: dict[str, Any] = json.loads(answer.body)
    return found


def until(condition: Callable[[], T | None], seconds: float = 15, message: str = "", *, pause: float = 0.1) -> T:
    """The first true value of `condition`; no answer counts as not yet. Raises AssertionError with what was last."""
    start, last = time.monotonic(), ""
    while time.monotonic() - start < seconds:
        try:
            found = condition()
        except (OSError, EOFError) as fault:
            last = f"{type(fault).__name__}: {fault}"
        else:
            if found:
                return found
            last = repr(found)
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {message or condition}; last: {last}")


def took(condition: Callable[[], object], seconds: float = 15, message: str = "") -> float:
    """Seconds until the condition held."""
    start = time.monotonic()
    until(condition, seconds, message, pause=0.02)
    return time.monotonic() - start
