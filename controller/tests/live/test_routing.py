"""Every line of the routing tables, asked of the running data plane; and `explain` agrees with each answer."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, backend_of, ingress, service

EXACT, PREFIX, IMPLEMENTATION = "Exact", "Prefix", "ImplementationSpecific"
SERVICES = ("one", "two", "three", "other", "global")
LONG_HOST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@dataclass(frozen=True)
class Ask:
    """A request, and who must answer it: a backend's name or a status of nginx."""

    url: str
    answer: str | int
    host: str | None = None

    def __str__(self) -> str:
        return f"{self.url[:90]} -> {self.answer}"


def objects() -> list[Object]:
    return [
        ingress("hosts-exact", ("exact.test", "/", PREFIX, "one")),
        ingress("hosts-partial", ("a.wild.test", "/x", PREFIX, "two")),
        ingress("hosts-wild", ("*.wild.test", "/", PREFIX, "one")),
        ingress("hosts-wild-deeper", ("*.b.wild.test", "/", PREFIX, "two")),
        ingress("hosts-idna", ("b\u00fccher.test", "/", PREFIX, "one")),
        ingress("hosts-long", (LONG_HOST, "/", PREFIX, "one")),
        ingress("paths-exact", ("exact-path.test", "/foo", EXACT, "one"), ("exact-path.test", "/", EXACT, "two")),
        ingress("paths-exact-slash", ("exact-slash.test", "/foo/", EXACT, "one")),
        ingress("paths-prefix", ("prefix.test", "/foo", PREFIX, "one"), ("prefix.test", "/foo/bar", PREFIX, "two")),
        ingress("paths-slash", ("slash.test", "/foo/", PREFIX, "one")),
        ingress("paths-implementation", ("impl.test", "/foo", IMPLEMENTATION, "one")),
        ingress("paths-both", ("both.test", "/foo", PREFIX, "one")),
        ingress("paths-both-exact", ("both.test", "/foo", EXACT, "two")),
        ingress("paths-case", ("case.test", "/Foo", PREFIX, "one")),
        ingress("paths-odd", ("odd.test", "/caf\u00e9", PREFIX, "one"), ("odd.test", "/a%20b", PREFIX, "two"),
                ("odd.test", "/x+y=(z)&,@!*", EXACT, "three")),
        ingress("merge-old", ("merge.test", "/", PREFIX, "one"), created="2020-01-01T00:00:00Z"),
        ingress("merge-young", ("merge.test", "/", PREFIX, "two"), ("merge.test", "/young", PREFIX, "two"),
                created="2021-01-01T00:00:00Z"),
        ingress("regex", ("regex.test", "/api(/|$)(.*)", IMPLEMENTATION, "one"),
                annotations={"rewrite-target": "/$2", "use-regex": "true"}),
        ingress("regex-plain", ("regex.test", "/plain", PREFIX, "two"), ("regex.test", "/exact", EXACT, "three")),
        ingress("regex-order", ("order.test", "/foo/bar/bar", PREFIX, "one"),
                ("order.test", "/foo/bar/[A-Z0-9]{3}", IMPLEMENTATION, "two"), annotations={"use-regex": "true"}),
        ingress("rewrite-literal", ("rewrite.test", "/something", PREFIX, "one"), annotations={"rewrite-target": "/"}),
        ingress("rewrite-same", ("rewrite-same.test", "/foo", PREFIX, "one"), annotations={"rewrite-target": "/foo"}),
        ingress("default-host", ("default.test", "/x", PREFIX, "one"), default="other"),
        ingress("default-rule", default="other", rules=[{"host": "bare.test"}]),
        ingress("backend-missing", ("missing.test", "/", PREFIX, "nope")),
        ingress("backend-empty", ("empty.test", "/", PREFIX, "empty")),
        ingress("backend-port", ("port.test", "/", PREFIX, "one", 81), ("port.test", "/name", PREFIX, "one", "nope")),
        ingress("backend-ports", ("ports.test", "/name", PREFIX, "one", "http"),
                ("ports.test", "/n", PREFIX, "two", 80), ("ports.test", "/target", PREFIX, "three", 8080)),
        ingress("backend-resource", rules=[{"host": "resource.test", "http": {"paths": [
            {"path": "/r", "pathType": PREFIX, "backend": {"resource": {"kind": "Bucket", "name": "b"}}},
            {"path": "/s", "pathType": PREFIX, "backend": backend_of("one", 80)}]}}]),
        ingress("backend-external", ("external-loopback.test", "/", PREFIX, "external")),
        ingress("backend-inside", ("external-inside.test", "/", PREFIX, "inside")),
        ingress("hostless", ("", "/hostless", PREFIX, "two")),
        service("external", type="ExternalName", externalName="127.0.0.1"),
        service("inside", type="ExternalName", externalName="one.default.svc.cluster.local",
                ports=[{"name": "http", "port": 80}]),
        service("empty"),
    ]  # fmt: skip


TABLE = [
    # hosts: exact, then wildcard of one label, then the catch-all
    Ask("http://exact.test/", "one"),
    Ask("http://EXACT.test/", "one"),
    Ask("http://exact.test/", "one", host="exact.test:8080"),
    Ask("http://exact.test/", "one", host="exact.test."),
    Ask("http://sub.exact.test/", "global"),
    Ask("http://q.wild.test/", "one"),
    Ask("http://q_1-2.wild.test/", "one"),
    Ask("http://q.r.wild.test/", "global"),
    Ask("http://wild.test/", "global"),
    Ask("http://q.b.wild.test/", "two"),
    Ask("http://a.wild.test/x", "two"),
    Ask("http://a.wild.test/y", "global"),
    Ask("http://xn--bcher-kva.test/", "one"),
    Ask(f"http://{LONG_HOST}/", "one"),
    Ask("http://unknown.test/", "global"),
    Ask("http://unknown.test/healthz", 200),
    Ask("http://unknown.test/hostless", "two"),
    # paths of normal hosts
    Ask("http://exact-path.test/foo", "one"),
    Ask("http://exact-path.test/foo/", "global"),
    Ask("http://exact-path.test/foo?q=1", "one"),
    Ask("http://exact-path.test/", "two"),
    Ask("http://exact-path.test/x", "global"),
    Ask("http://exact-slash.test/foo/", "one"),
    Ask("http://exact-slash.test/foo", "global"),
    Ask("http://prefix.test/foo", "one"),
    Ask("http://prefix.test/foo/", "one"),
    Ask("http://prefix.test/foo/x", "one"),
    Ask("http://prefix.test/foobar", "global"),
    Ask("http://prefix.test/foo/bar", "two"),
    Ask("http://prefix.test/foo/bar/x", "two"),
    Ask("http://prefix.test/foo/barx", "one"),
    Ask("http://prefix.test//foo", "one"),
    Ask("http://prefix.test/x/../foo/./y", "one"),
    Ask("http://prefix.test/%66oo", "one"),
    Ask("http://prefix.test/FOO", "global"),
    Ask("http://slash.test/foo", "one"),
    Ask("http://slash.test/foo/", "one"),
    Ask("http://slash.test/foo/x", "one"),
    Ask("http://slash.test/foox", "global"),
    Ask("http://impl.test/foo/x", "one"),
    Ask("http://impl.test/foobar", "global"),
    Ask("http://both.test/foo", "two"),
    Ask("http://both.test/foo/x", "one"),
    Ask("http://case.test/Foo", "one"),
    Ask("http://case.test/foo", "global"),
    Ask("http://odd.test/caf%C3%A9", "one"),
    Ask("http://odd.test/caf%c3%a9/x", "one"),
    Ask("http://odd.test/a%20b", "two"),
    Ask("http://odd.test/x+y=(z)&,@!*", "three"),
    # several Ingresses for one host: the oldest owns a path
    Ask("http://merge.test/", "one"),
    Ask("http://merge.test/young", "two"),
    # regular expressions: the whole host becomes one
    Ask("http://regex.test/api", "one"),
    Ask("http://regex.test/api/v1", "one"),
    Ask("http://regex.test/API/v1", "one"),
    Ask("http://regex.test/apix", "global"),
    Ask("http://regex.test/plain", "two"),
    Ask("http://regex.test/plain/x", "two"),
    Ask("http://regex.test/plainx", "two"),
    Ask("http://regex.test/PLAIN", "two"),
    Ask("http://regex.test/exactly", "three"),
    Ask("http://regex.test/", "global"),
    Ask("http://order.test/foo/bar/bar", "two"),
    Ask("http://rewrite.test/something/new", "one"),
    Ask("http://rewrite.test/somethingelse", "one"),
    Ask("http://rewrite-same.test/foo/x", "one"),
    Ask("http://rewrite-same.test/foox", "global"),
    # default backends
    Ask("http://default.test/x", "one"),
    Ask("http://default.test/y", "other"),
    Ask("http://bare.test/anything", "other"),
    # backends
    Ask("http://missing.test/", 503),
    Ask("http://empty.test/", 503),
    Ask("http://port.test/", 503),
    Ask("http://port.test/name", 503),
    Ask("http://ports.test/name", "one"),
    Ask("http://ports.test/n", "two"),
    Ask("http://ports.test/target", "three"),
    Ask("http://resource.test/r", "global"),
    Ask("http://resource.test/s", "one"),
    Ask("http://external-loopback.test/", 503),
]


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    apps = [o for name in SERVICES for o in app(name, backends.start(name))]
    yield run(*objects(), *apps, flags=("--default-backend-service", "default/global"))


@pytest.mark.shows("rewrite-target", "use-regex")
@pytest.mark.parametrize("ask", TABLE, ids=str)
def test_the_right_backend_answers(headrace: Headrace, ask: Ask) -> None:
    answer = headrace.get(ask.url, host=ask.host)
    assert (answer.backend or answer.status) == ask.answer, answer


@pytest.fixture(scope="module")
def explained(headrace: Headrace) -> list[dict[str, Any]]:
    """What `headrace explain` says of every request of the table, asked in one call."""
    command = [sys.executable, "-m", "controller", "explain", "--manifests", str(headrace.manifests)]
    command += ["--default-backend-service", "default/global", "--output", "json"]
    urls = [f"http://{ask.host or ask.url.split('/')[2]}/{ask.url.split('/', 3)[3]}" for ask in TABLE]
    done = subprocess.run([*command, *urls], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("number", range(len(TABLE)), ids=[str(ask) for ask in TABLE])
def test_explain_agrees_with_nginx(headrace: Headrace, explained: list[dict[str, Any]], number: int) -> None:
    answer = headrace.get(TABLE[number].url, host=TABLE[number].host)
    said = explained[number]
    if answer.backend:
        upstream = said["upstream"]
        assert upstream and (upstream["namespace"], upstream["service"]) == ("default", answer.backend), said
    else:
        status = said["answer"]["status"] or (503 if said["endpoints"] == [] else None)
        assert status == answer.status, said


def test_an_external_name_of_a_service_leads_straight_to_its_pods(headrace: Headrace) -> None:
    headrace.until(lambda: headrace.get("http://external-inside.test/").backend == "one")


def test_a_thousand_paths_on_one_host(run: Run, backends: Backends) -> None:
    rules = [("many.test", f"/p{number}", PREFIX, "one") for number in range(1000)]
    headrace = run(ingress("many", *rules), *app("one", backends.start("one")))
    assert headrace.get("http://many.test/p999/x").backend == "one"
    assert headrace.get("http://many.test/p1000").status == 404


def test_without_any_default_backend_the_answer_is_a_404_page(run: Run) -> None:
    answer = run(ingress("x", ("x.test", "/x", PREFIX, "nope"))).get("http://x.test/")
    assert answer.status == 404
    assert b"404 Not Found" in answer.body


def test_a_request_without_host_is_refused_and_http_1_0_gets_the_catch_all(headrace: Headrace) -> None:
    def raw(text: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", headrace.http), timeout=5) as connection:
            connection.sendall(text)
            return connection.recv(65_536)

    assert b" 400 " in raw(b"GET / HTTP/1.1\r\n\r\n").split(b"\r\n")[0]
    assert b'"backend": "global"' in raw(b"GET / HTTP/1.0\r\n\r\n")


def test_a_ruleless_default_backend_takes_the_catch_all_before_hostless_rules(run: Run, backends: Backends) -> None:
    headrace = run(
        ingress("hostless", ("", "/", PREFIX, "one"), created="2019-01-01T00:00:00Z"),
        ingress("young", default="one", created="2022-01-01T00:00:00Z"),
        ingress("old", default="two", created="2021-01-01T00:00:00Z"),
        *app("one", backends.start("one")),
        *app("two", backends.start("two")),
    )
    assert headrace.get("http://whatever.test/x").backend == "two"
