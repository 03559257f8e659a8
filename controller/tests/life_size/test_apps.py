"""Ingresses as well-known applications have them, all at once, each asked what its users would ask.

The manifests of `apps/` are written by us after what popular charts ship; `asks.yaml` says what must be answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.tests.live.authorities import Authority, server_context
from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run, backends, run  # noqa: F401 - fixtures
from controller.tests.live.grpc_peers import GrpcServer, call
from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import Object

HERE = Path(__file__).parent
APPS: dict[str, list[Object]] = {
    path.stem: list(yaml.safe_load_all(path.read_text())) for path in sorted((HERE / "apps").glob("*.yaml"))
}
ASKS: dict[str, list[dict[str, Any]]] = yaml.safe_load((HERE / "asks.yaml").read_text())
PREFIX = "nginx.ingress.kubernetes.io/"
GONE = frozenset({"hasura-old"})
"""Services without a pod."""

CLASS: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "nginx"},
    "spec": {"controller": "k8s.io/ingress-nginx"},
}


def protocols(documents: list[Object]) -> dict[tuple[str, str], str]:
    """What the pods of each Service speak, by (namespace, name), where it is not plain HTTP."""
    found = {}
    for document in documents:
        if document["kind"] == "Ingress":
            spoken = document["metadata"].get("annotations", {}).get(f"{PREFIX}backend-protocol", "").upper()
            for rule in document["spec"].get("rules", []) if spoken else []:
                for path in rule["http"]["paths"]:
                    name = path["backend"]["service"]["name"]
                    found[document["metadata"]["namespace"], name] = spoken
    return found


def slice_of(service: Object, port: int) -> Object:
    """Pods of a Service, each of whose ports leads to the one backend."""
    meta = service["metadata"]
    endpoints = [] if meta["name"] in GONE else [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{meta['name']}-1",
            "namespace": meta["namespace"],
            "labels": {"kubernetes.io/service-name": meta["name"]},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": entry["name"], "port": port, "protocol": "TCP"} for entry in service["spec"]["ports"]],
    }


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:  # noqa: F811
    documents = [document for app in APPS.values() for document in app]
    spoken, authority = protocols(documents), Authority("pods")
    with ExitStack() as stack:
        slices = []
        for service in (document for document in documents if document["kind"] == "Service"):
            name = service["metadata"]["name"]
            protocol = spoken.get((service["metadata"]["namespace"], name), "HTTP")
            if protocol == "GRPC":
                port = stack.enter_context(GrpcServer(name)).port
            else:
                tls = server_context(authority.issue(name)) if protocol == "HTTPS" else None
                port = backends.start(name, tls=tls).port
            slices.append(slice_of(service, port))
        yield run(CLASS, *documents, *slices, flags=("--controller-class", "k8s.io/ingress-nginx"))


def test_there_are_enough_of_them() -> None:
    assert sum(document["kind"] == "Ingress" for app in APPS.values() for document in app) >= 60
    assert ASKS.keys() == APPS.keys()


@pytest.mark.parametrize(
    ("app", "ask"), [pytest.param(app, ask, id=f"{app}: {ask['ask']}") for app, asks in ASKS.items() for ask in asks]
)
def test_what_is_answered(headrace: Headrace, app: str, ask: dict[str, Any]) -> None:
    method, url = ask["ask"].split(" ", 1)
    if method == "GRPC":
        host, _, path = url.removeprefix("https://").partition("/")
        answered = call(headrace.https, host, f"/{path}", "hello")
        assert (answered.status, answered.grpc) == (200, 0)
        return
    if ask.get("upgrade"):
        assert upgraded(headrace, url).split(b" ")[1] == b"101"
        return
    body = b"x" * ask["body"] if "body" in ask else None
    answer = headrace.get(url, method=method, headers=ask.get("send"), body=body)
    assert answer.status == ask["status"]
    _check(answer, ask, headrace)


def _check(answer: Answer, ask: dict[str, Any], headrace: Headrace) -> None:
    if "location" in ask:
        expected = ask["location"].replace(":HTTPS", f":{headrace.https}").replace(":HTTP", f":{headrace.http}")
        assert answer.headers["location"] == expected
    if "from" in ask and not ask["ask"].startswith("HEAD"):
        assert answer.backend == ask["from"]
    if "path" in ask:
        assert answer.json["target"] == ask["path"]
    if "body" in ask:
        assert len(answer.json["body"]) == ask["body"]
    for name, value in ask.get("sees", {}).items():
        assert answer.json["headers"].get(name) == value
    for name, value in ask.get("has", {}).items():
        assert answer.headers.get(name) == value
    if "cookie" in ask:
        assert answer.headers["set-cookie"].startswith(f"{ask['cookie']}=")
    if "contains" in ask:
        assert ask["contains"].encode() in answer.body


def upgraded(headrace: Headrace, url: str) -> bytes:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    request = (
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    return headrace.raw(request.encode(), tls=host if scheme == "https" else None, until=b"\r\n\r\n")
