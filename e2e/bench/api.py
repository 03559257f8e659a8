"""The API server as those use it who deploy: objects in, one kept connection for each thread, nothing between.

Guarantees: when a call returns, the server has answered with success, and the moment of that answer is the result;
anything else raises. Many objects are sent side by side. kubectl would take longer than what is measured.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controller.tests.live.objects import Object

THREADS = 8
IDLE = 30.0
"""Seconds without a request after which a connection is not trusted: the server ends it after 90."""
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{}/services",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
}


class Refused(Exception):
    """The server did not do it; the message is its own."""


class Api:
    """Context manager: a client with the rights of `kubeconfig`, which names files for certificate and key."""

    def __init__(self, kubeconfig: Path) -> None:
        written = json.loads(kubeconfig.read_text())
        cluster, user = written["clusters"][0]["cluster"], written["users"][0]["user"]
        self._address = urlsplit(cluster["server"]).netloc
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._tls.load_cert_chain(user["client-certificate"], user["client-key"])
        self._of_thread = threading.local()
        self._threads = ThreadPoolExecutor(THREADS)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def create(self, made: Object) -> float:
        """Returns when the server had answered (time.monotonic)."""
        return self._call("POST", _collection(made), made)

    def replace(self, made: Object) -> float:
        return self._call("PUT", _path(made), made)

    def delete(self, made: Object) -> float:
        return self._call("DELETE", _path(made))

    def create_all(self, made: Iterable[Object]) -> tuple[float, float]:
        """Side by side, in no order. When the first answer came and when the last."""
        return self._all(self.create, made)

    def replace_all(self, made: Iterable[Object]) -> tuple[float, float]:
        return self._all(self.replace, made)

    def delete_all(self, made: Iterable[Object]) -> tuple[float, float]:
        return self._all(self.delete, made)

    def _all(self, call: Any, made: Iterable[Object]) -> tuple[float, float]:
        answered = list(self._threads.map(call, made))
        return (min(answered), max(answered)) if answered else (time.monotonic(),) * 2

    def _call(self, method: str, path: str, body: Object | None = None) -> float:
        connection = self._connection()
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        response = connection.getresponse()
        said = response.read()
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise Refused(f"{method} {path}: {said.decode(errors='replace')}")
        return time.monotonic()

    def _connection(self) -> http.client.HTTPSConnection:
        """The one of this thread; new where the server may be about to end it."""
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = http.client.HTTPSConnection(self._address, timeout=30, context=self._tls)
        found: http.client.HTTPSConnection = self._of_thread.connection
        if time.monotonic() - getattr(self._of_thread, "used", 0.0) > IDLE:
            found.close()  # the next request opens it again
        self._of_thread.used = time.monotonic()
        return found


def _collection(made: Object) -> str:
    return _PATHS[made["kind"]].format(made["metadata"].get("namespace"))


def _path(made: Object) -> str:
    return f"{_collection(made)}/{made['metadata']['name']}"
