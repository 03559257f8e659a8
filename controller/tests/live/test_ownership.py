"""Whose a host is (`--host-ownership`), and what else the operator may forbid teams to write."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, configmap, ingress, service, slice_of

OLD, YOUNG = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"


def pods(backends: Backends, *namespaces: str) -> list[Object]:
    """A Service `app` in each namespace, whose pod has the name of the namespace."""
    return [
        each
        for namespace in namespaces
        for each in (service("app", namespace), slice_of("app", backends.start(namespace), namespace=namespace))
    ]


def rule(name: str, namespace: str, host: str, path: str = "/", created: str = YOUNG, **more: Any) -> Object:
    return ingress(name, (host, path, "Prefix", "app"), namespace=namespace, created=created, **more)


def namespace(name: str, hosts: str = "") -> Object:
    metadata = {"name": name, "annotations": {"headrace.dev/hosts": hosts} if hosts else {}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def told(headrace: Headrace, name: str) -> set[str]:
    found = headrace.ask_health("/debug/diagnostics").json["diagnostics"]
    return {finding["code"] for finding in found if finding["object"]["name"] == name}


@pytest.fixture(scope="module")
def first_come(run: Run, backends: Backends) -> Headrace:
    return run(
        *pods(backends, "shop", "evil"),
        namespace("ops", "*"),
        rule("shop", "shop", "shop.test", created=OLD),
        rule("more", "shop", "shop.test", "/more", annotations={"server-alias": "also.shop.test"}),
        rule("below", "shop", "a.wild.test", created=OLD),
        rule("wide", "shop", "*.wide.test", created=OLD),
        rule("login", "evil", "shop.test", "/login"),
        rule("exact", "evil", "SHOP.test.", "/exact"),
        rule("wild", "evil", "*.wild.test"),
        rule("inside", "evil", "x.wide.test"),
        rule("everything", "evil", ""),
        rule("alias", "evil", "evil.test", annotations={"server-alias": "y.wide.test,free.test"}),
        rule("www", "evil", "wide.test", annotations={"from-to-www-redirect": "true"}),
        ingress("default", namespace="evil", default="app"),
        flags=("--host-ownership", "first-come"),
    )


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("http://shop.test/", "shop"),
        ("http://shop.test/more", "shop"),
        ("http://also.shop.test/", "shop"),
        ("http://shop.test/login", "shop"),
        ("http://shop.test/exact", "shop"),
        ("http://a.wild.test/", "shop"),
        ("http://b.wild.test/", 404),
        ("http://x.wide.test/", "shop"),
        ("http://y.wide.test/", "shop"),
        ("http://evil.test/", "evil"),
        ("http://free.test/", "evil"),
        ("http://www.wide.test/", "shop"),
        ("http://nobody.test/", 404),
    ],
)
def test_the_first_one_owns_a_host(first_come: Headrace, url: str, answer: str | int) -> None:
    got = first_come.get(url)
    assert (got.backend or got.status) == answer


@pytest.mark.parametrize("name", ["login", "exact", "wild", "inside", "everything", "default"])
def test_who_is_refused_is_told_by_whom(first_come: Headrace, name: str) -> None:
    assert told(first_come, name) == {"host-owned"}
    messages = [
        finding["message"]
        for finding in first_come.ask_health("/debug/diagnostics").json["diagnostics"]
        if finding["object"]["name"] == name
    ]
    assert all("'shop'" in message or "catch-all" in message for message in messages)


def test_an_alias_must_be_free(first_come: Headrace) -> None:
    assert told(first_come, "alias") == {"alias-taken"}


def test_a_declared_host_is_for_its_namespace(run: Run, backends: Backends) -> None:
    headrace = run(
        *pods(backends, "red", "blue", "grey"),
        namespace("red", "red.test, *.red.example"),
        namespace("blue", "*"),
        namespace("grey"),
        rule("own", "red", "red.test"),
        rule("deep", "red", "a.b.red.example"),
        rule("wild", "red", "*.red.example"),
        rule("not", "red", "red.example"),
        rule("any", "blue", "whatever.test"),
        rule("rest", "blue", ""),
        rule("grey", "grey", "grey.test", created=OLD),
        flags=("--host-ownership", "declared"),
    )
    answers = {
        "red.test": "red", "a.b.red.example": "red", "x.red.example": "red", "red.example": "blue",
        "whatever.test": "blue", "grey.test": "blue",
    }  # fmt: skip
    assert {host: headrace.get(f"http://{host}/").backend for host in answers} == answers
    assert told(headrace, "not") == told(headrace, "grey") == {"host-owned"}
    headrace.write("later.yaml", namespace("grey", "grey.test"))
    headrace.write("objects.yaml", *pods(backends, "grey"), rule("grey", "grey", "grey.test", created=OLD))
    headrace.until(lambda: headrace.get("http://grey.test/").backend == "grey")


@pytest.fixture(scope="module")
def restrained(run: Run, backends: Backends) -> Headrace:
    return run(
        *pods(backends, "team"),
        configmap(annotations_risk_level="low", annotation_value_word_blocklist="forbidden,pass word"),
        rule("low", "team", "low.test", annotations={"proxy-read-timeout": "10"}),
        rule("medium", "team", "medium.test", annotations={"custom-headers": "x"}),
        rule("high", "team", "high.test", annotations={"server-alias": "alias-of-high.test"}),
        rule("word", "team", "word.test", annotations={"upstream-vhost": "forbidden.test"}),
        rule("other", "team", "other.test", annotations={"example.org/x": "forbidden"}),
        rule("critical", "team", "critical.test", annotations={"configuration-snippet": "return 418;"}),
        rule("wide", "team", "two.test", "/", created=OLD),
        rule("narrow", "team", "two.test", "/admin", annotations={"permanent-redirect": "https://x.test/"}),
        flags=CONFIGMAP,
    )


@pytest.mark.shows("configmap:annotations-risk-level", "configmap:annotation-value-word-blocklist")
@pytest.mark.parametrize(
    ("url", "answer", "code"),
    [
        ("http://low.test/", "team", None),
        ("http://medium.test/", 503, "annotation-too-risky"),
        ("http://high.test/", 503, "annotation-too-risky"),
        ("http://alias-of-high.test/", 404, None),
        ("http://word.test/", 503, "annotation-word-blocked"),
        ("http://other.test/", "team", None),
        ("http://critical.test/", "team", "annotation-refused"),
        ("http://two.test/", "team", None),
        ("http://two.test/admin", 503, None),
    ],
)
def test_what_the_operator_forbids_is_closed(restrained: Headrace, url: str, answer: object, code: str | None) -> None:
    got = restrained.get(url)
    assert (got.backend or got.status) == answer
    assert code is None or code in told(restrained, url.split("/")[2].removesuffix(".test"))


@pytest.mark.shows("configmap:allow-cross-namespace-resources")
def test_secrets_of_others_need_the_operators_word(run: Run, backends: Backends) -> None:
    users = base64.b64encode(b"alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"auth": users}}
    headrace = run(
        *pods(backends, "app"),
        configmap(allow_cross_namespace_resources="true"),
        {**secret, "metadata": {"name": "users", "namespace": "shared"}},
        {**secret, "metadata": {"name": "users", "namespace": "private"}},
        *(
            rule(of, "app", f"{of}.test", annotations={"auth-type": "basic", "auth-secret": f"{of}/users"})
            for of in ("shared", "private")
        ),
        flags=(*CONFIGMAP, "--allowed-secret-namespaces", "shared"),
    )
    login = {"Authorization": f"Basic {base64.b64encode(b'alice:password').decode()}"}
    assert headrace.get("http://shared.test/").status == 401
    assert headrace.get("http://shared.test/", headers=login).status in (200, 401)
    assert headrace.get("http://private.test/", headers=login).status == 503
    assert told(headrace, "settings") == set()


def test_without_a_list_of_namespaces_the_key_has_no_effect(run: Run, backends: Backends) -> None:
    headrace = run(*pods(backends, "lone"), configmap(allow_cross_namespace_resources="true"), flags=CONFIGMAP)
    assert told(headrace, "settings") == {"configmap-key-unsupported"}


TEXTS = ["/x;root /;", "/etc/shadow", "/var/run/secrets/x", "/content_by_lua", "/alias /srv;"]


def test_text_that_reaches_for_files_drops_the_ingress(run: Run, backends: Backends) -> None:
    headrace = run(
        *pods(backends, "deep"),
        *(
            ingress(f"deep{n}", (f"deep{n}.test", text, "ImplementationSpecific", "app"),
                    (f"deep{n}.test", "/fine", "Prefix", "app"), namespace="deep")
            for n, text in enumerate(TEXTS)
        ),
        ingress("tls", ("tls.test", "/", "Prefix", "app"), namespace="deep",
                tls=[{"hosts": ["tls.test"], "secretName": "../../etc/passwd"}]),
        rule("many", "deep", "many.test"),
    )  # fmt: skip
    for n in range(len(TEXTS)):
        assert headrace.get(f"http://deep{n}.test/fine").status == 404
        assert told(headrace, f"deep{n}") == {"ingress-forbidden-text"}
    assert headrace.get("http://tls.test/").status == 404
    assert headrace.get("http://many.test/").backend == "deep"
