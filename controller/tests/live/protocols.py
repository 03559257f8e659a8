"""What the tests of protocols share: Ingresses of one annotation each, and what is told of them."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import Object, ingress, service, slice_at

AT_ONCE = 0.6
"""Seconds within which an answer comes for which nobody waited."""


def host(name: str, service: str, path: str = "/", **annotations: str) -> Object:
    """The host `NAME.test`; write `backend_protocol="GRPC"` for the annotation `backend-protocol`."""
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (f"{name}.test", path, "Prefix", service), annotations=written)


def app_at(name: str, peer: Any) -> list[Object]:
    """A Service and its EndpointSlice of one peer, which has a `host` and a `port`."""
    return [service(name), slice_at(name, (peer.host, peer.port))]


def findings(headrace: Headrace, name: str) -> list[dict[str, Any]]:
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    return [finding for finding in report if finding["object"]["name"] == name]


def timed(headrace: Headrace, url: str, **sent: Any) -> tuple[float, Answer]:
    begun = time.monotonic()
    answer = headrace.get(url, **sent)
    return time.monotonic() - begun, answer


def waits(headrace: Headrace, url: str) -> bool:
    """Whether nginx has heard of an address: as long as its list is empty the answer is a 503 at once."""
    try:
        return headrace.get(url, timeout=0.25).status != 503
    except TimeoutError:
        return True


class Rude:
    """Answers whatever comes as a server of plain HTTP does that is spoken to in TLS."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                opened, _ = self._listener.accept()
                with opened:
                    opened.recv(4096)
                    opened.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
