"""Several controllers in one cluster, each with its class or its namespace, and none takes what is not its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controller.tests.live.objects import Object, ingress, key_pair, tls_secret
from e2e.cluster.apps import App, apply, deploy, end_namespace, fresh_namespace
from e2e.cluster.ask import Site, echoed, until
from e2e.cluster.fixtures import CLASS
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, UNDRAINED, Release, Shared, Spec, installed

SECOND = "second"
OWN_CERTIFICATE = key_pair("default.test")


@pytest.fixture(scope="module")
def first(shared: Shared) -> Release:
    return shared.get(HOST_PORT)


@pytest.fixture(scope="module")
def second(cluster: Cluster, first: Release) -> Iterator[Release]:
    """Another release: a class of its own, which is the default of the cluster, and a default certificate."""
    spec = Spec(
        "nodeport",
        (
            *UNDRAINED,
            f"controller.ingressClassResource.name={SECOND}",
            f"controller.ingressClassResource.controllerValue=headrace.dev/{SECOND}",
            "controller.ingressClassResource.default=true",
            f"controller.defaultTLSSecret={SECOND}/own",
        ),
        SECOND,
    )
    with installed(cluster, spec) as release:
        apply(cluster, release.namespace, tls_secret("own", OWN_CERTIFICATE))
        yield release


@pytest.fixture(scope="module")
def apps(cluster: Cluster) -> Iterator[tuple[App, App]]:
    """Two applications in a namespace of their own."""
    namespace = "e2e-side-by-side"
    fresh_namespace(cluster, namespace)
    yield deploy(cluster, namespace, "one").ready(), deploy(cluster, namespace, "two").ready()
    end_namespace(cluster, namespace)


def answering(site: Site, url: str) -> str | int:
    """The application that answers, or the status where none does."""
    answer = site.get(url)
    return str(echoed(answer)["pod"]).partition("-")[0] if answer.status == 200 else answer.status


def test_each_release_serves_its_class(first: Release, second: Release, apps: tuple[App, App]) -> None:
    """The same host in both classes leads to different applications."""
    namespace = apps[0].namespace
    apply(
        first.cluster,
        namespace,
        ingress("one", ("same.test", "/", "Prefix", "one"), ingressClassName=CLASS),
        ingress(
            "two", ("same.test", "/", "Prefix", "two"), ("only.test", "/", "Prefix", "two"), ingressClassName=SECOND
        ),
    )
    until(lambda: answering(first.site, "http://same.test/") == "one")
    until(lambda: answering(second.site, "http://same.test/") == "two")
    until(lambda: answering(second.site, "http://only.test/") == "two")
    assert answering(first.site, "http://only.test/") == 404


def test_an_ingress_without_class_goes_to_the_default_class(
    first: Release, second: Release, apps: tuple[App, App]
) -> None:
    apply(first.cluster, apps[0].namespace, ingress("plain", ("plain.test", "/", "Prefix", "one")))
    until(lambda: answering(second.site, "http://plain.test/") == "one")
    assert answering(first.site, "http://plain.test/") == 404
    written = apps[0].kubectl("get", "ingress", "plain", "--output=jsonpath={.spec.ingressClassName}")
    assert written == SECOND, "the API server fills in the default class"


def test_the_default_certificate(first: Release, second: Release, apps: tuple[App, App]) -> None:
    """Hosts without a certificate of their own get it, and unknown ones; the other release has none of it."""
    apply(
        first.cluster,
        apps[0].namespace,
        ingress("bare", ("bare.test", "/", "Prefix", "one"), ingressClassName=SECOND),
    )
    until(lambda: answering(second.site, "https://bare.test/") == "one")
    until(lambda: second.site.certificate("bare.test") == OWN_CERTIFICATE[0])
    assert second.site.certificate("unknown.test") == OWN_CERTIFICATE[0]
    assert first.site.certificate("unknown.test") != OWN_CERTIFICATE[0]


def roles_of(release: Release) -> dict[str, list[str]]:
    """Names of what grants rights to a release, by kind."""
    kinds = "clusterroles,clusterrolebindings,roles,rolebindings"
    selector = f"--selector=app.kubernetes.io/instance={release.spec.name}"
    listed = json.loads(release.cluster.kubectl("get", kinds, "--all-namespaces", selector, "--output=json"))["items"]
    found: dict[str, list[str]] = {}
    for each in listed:
        found.setdefault(each["kind"], []).append(each["metadata"].get("namespace", ""))
    return found


def test_an_install_for_one_namespace(first: Release, apps: tuple[App, App], namespace: str) -> None:
    """With Roles alone: its namespace is served, others are neither served nor touched, their Secrets out of reach."""
    cluster = first.cluster
    spec = Spec(
        "nodeport",
        (
            *UNDRAINED,
            "rbac.scope=true",
            "controller.scope.enabled=true",
            f"controller.scope.namespace={namespace}",
            "controller.ingressClassResource.name=narrow",
            "controller.ingressClassResource.controllerValue=headrace.dev/narrow",
        ),
        "narrow",
    )
    inside = deploy(cluster, namespace, "inside").ready()
    objects: list[Object] = [
        tls_secret("pair", pair := key_pair("inside.test")),
        ingress("inside", ("inside.test", "/", "Prefix", "inside"), ingressClassName="narrow",
                tls=[{"hosts": ["inside.test"], "secretName": "pair"}]),
    ]  # fmt: skip
    with installed(cluster, spec) as release:
        granted = roles_of(release)
        assert set(granted) <= {"Role", "RoleBinding"}, granted
        assert set(granted["Role"]) <= {namespace, release.namespace}
        apply(cluster, namespace, *objects)
        apply(
            cluster,
            apps[0].namespace,
            ingress("outside", ("outside.test", "/", "Prefix", "one"), ingressClassName="narrow"),
        )
        until(lambda: answering(release.site, "https://inside.test/") == "inside", 20)
        until(lambda: release.site.certificate("inside.test") == pair[0])
        assert answering(release.site, "http://outside.test/") == 404
        status = apps[0].kubectl("get", "ingress", "outside", "--output=jsonpath={.status.loadBalancer}")
        assert status in ("", "{}")
        assert inside.addresses()
    apps[0].kubectl("delete", "ingress", "outside")
