"""A client that asks again and again until an answer is right, and tells when that was.

Each question has a connection of its own, as somebody who comes new: only such a client sees the configuration of now.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from e2e.bench.crowd import Host
from e2e.bench.load import Unmeasurable

PAUSE = 0.003
"""Seconds between two questions."""
_TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TRUSTING.check_hostname = False
_TRUSTING.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Door:
    """The ports of a proxy on 127.0.0.1."""

    http: int
    https: int

    def ask(self, host: Host) -> tuple[int, str]:
        """Status and body of one request, over TLS where the host has it. Raises OSError where nobody answers."""
        with self._connect(host) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host.name}\r\nConnection: close\r\n\r\n".encode())
            received = b""
            while data := connection.recv(65_536):
                received += data
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head[9:12] or 0), body.decode()

    def serves(self, host: Host, address: str = "") -> bool:
        """Whether the pod at `address` answers, or the host's own."""
        return self.ask(host) == (200, address or host.address)

    def certificate(self, host: Host) -> bytes:
        """DER."""
        with self._connect(host) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            return connection.getpeercert(binary_form=True) or b""

    def all_served(self, hosts: Iterable[Host], seconds: float) -> float:
        """When each of them had been seen to be served once."""
        waiting = deque(hosts)
        moment = time.monotonic()
        while waiting:
            moment = until(partial(self.serves, waiting[0]), seconds, f"{waiting[0].name} served")
            waiting.popleft()
        return moment

    def _connect(self, host: Host) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.https if host.tls else self.http), timeout=5)
        try:
            return _TRUSTING.wrap_socket(plain, server_hostname=host.name) if host.tls else plain
        except BaseException:
            plain.close()
            raise


def until(right: Callable[[], bool], seconds: float, what: str, pause: float = PAUSE) -> float:
    """When it was so first (time.monotonic). Raises Unmeasurable, naming `what`, where that takes over `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if right():
                return time.monotonic()
        except (OSError, ValueError):
            pass
        time.sleep(pause)
    raise Unmeasurable(f"not within {seconds:.0f} s: {what}")
