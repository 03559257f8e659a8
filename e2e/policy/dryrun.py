"""Asks a real API server what it would say to an Ingress, thousands of times on one connection.

Nothing is stored: every request is a dry run, and passes admission as any other.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

Manifest = Mapping[str, Any]

_ASSIGNED = frozenset({"creationTimestamp", "resourceVersion", "uid", "generation", "managedFields"})


class Answer(NamedTuple):
    """`message`: why it was not taken; `warnings`: texts that kubectl would print."""

    status: int
    message: str
    warnings: tuple[str, ...]

    @property
    def taken(self) -> bool:
        return self.status == HTTPStatus.CREATED

    @property
    def refused_by_policy(self) -> bool:
        return "ValidatingAdmissionPolicy" in self.message


class DryRun:
    """A client of one API server. Context manager."""

    def __init__(self, url: str, authority: Path, certificate: Path, key: Path) -> None:
        tls = ssl.create_default_context(cafile=str(authority))
        tls.load_cert_chain(certificate, key)
        address = urlsplit(url)
        self._server = HTTPSConnection(str(address.hostname), address.port, timeout=30, context=tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()

    def create(self, ingress: Manifest, namespace: str = "default") -> Answer:
        """What a `kubectl create` of the Ingress would get; in this namespace, whatever its own is."""
        metadata = {name: value for name, value in ingress["metadata"].items() if name not in _ASSIGNED}
        body = {**ingress, "metadata": {**metadata, "namespace": namespace}}
        path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses?dryRun=All"
        self._server.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._server.getresponse()
        read = json.loads(answer.read())
        return Answer(answer.status, read.get("message", ""), tuple(answer.headers.get_all("Warning") or ()))
