"""What Ingresses say is what clients get, on real pods: hosts, paths, TLS, defaults, status, Events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.tests.live.objects import Object, ingress, key_pair, tls_secret
from e2e.cluster.app.client import Answer
from e2e.cluster.apps import App, apply, delete, deploy
from e2e.cluster.ask import Site, echoed, until
from e2e.cluster.fixtures import CLASS, ECHO
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, Shared

SOLVER = "acme-solver"
CHALLENGE = "/.well-known/acme-challenge/x7Qm2"


@pytest.fixture
def site(shared: Shared) -> Site:
    return shared.get(HOST_PORT).site


@pytest.fixture
def shop(cluster: Cluster, namespace: str) -> App:
    return deploy(cluster, namespace, "shop").ready()


def answered_by(site: Site, url: str, app: App) -> Answer:
    """The answer, as soon as it comes from a pod of `app`."""

    def answer() -> Answer | None:
        got = site.get(url)
        return got if got.status == 200 and str(echoed(got)["pod"]).startswith(f"{app.name}-") else None

    return until(answer, 15, f"{url} from {app.name}")


def test_virtual_hosts_and_paths(cluster: Cluster, site: Site, shop: App) -> None:
    cart = deploy(cluster, shop.namespace, "cart").ready()
    objects = [
        ingress("shop", ("shop.test", "/", "Prefix", "shop"), ("shop.test", "/cart", "Prefix", "cart", "http"),
                ingressClassName=CLASS),
        ingress("cart", ("*.cart.test", "/", "Prefix", "cart"), ingressClassName=CLASS),
    ]  # fmt: skip
    apply(cluster, shop.namespace, *objects)
    answered_by(site, "http://shop.test/", shop)
    answered_by(site, "http://shop.test/cart/42", cart)
    answered_by(site, "http://any.cart.test/", cart)
    answered_by(site, "http://shop.test/cartoon", shop)
    assert site.status("http://nobody.test/") == 404
    delete(cluster, shop.namespace, "ingress/shop")
    until(lambda: site.status("http://shop.test/") == 404)


def test_tls_and_the_redirect_to_it(cluster: Cluster, site: Site, shop: App) -> None:
    pair, newer = key_pair("tls.test"), key_pair("tls.test", kind="rsa")
    tls = [{"hosts": ["tls.test"], "secretName": "pair"}]
    secure = ingress("secure", ("tls.test", "/", "Prefix", "shop"), tls=tls, ingressClassName=CLASS)
    apply(cluster, shop.namespace, tls_secret("pair", pair), secure)
    answered_by(site, "https://tls.test/", shop)
    until(lambda: site.certificate("tls.test") == pair[0])
    redirect = site.get("http://tls.test/path?x=1")
    assert (redirect.status, redirect.headers["location"]) == (308, "https://tls.test/path?x=1")
    apply(cluster, shop.namespace, tls_secret("pair", newer))
    until(lambda: site.certificate("tls.test") == newer[0], 10, "the rotated certificate")


def test_default_backend_of_an_ingress(cluster: Cluster, site: Site, shop: App) -> None:
    assert site.status("http://whoever.test/") == 404
    apply(cluster, shop.namespace, ingress("rest", default="shop", ingressClassName=CLASS))
    seen = echoed(answered_by(site, "http://whoever.test/a", shop))
    assert (seen["headers"]["host"], seen["path"]) == ("whoever.test", "/a")
    assert site.status(f"http://{ECHO}/") in (200, 404), "hosts with rules keep them"
    delete(cluster, shop.namespace, "ingress/rest")
    until(lambda: site.status("http://whoever.test/") == 404)


def test_the_status_has_the_address_of_the_node(cluster: Cluster, site: Site, shop: App) -> None:
    apply(cluster, shop.namespace, ingress("told", ("told.test", "/", "Prefix", "shop"), ingressClassName=CLASS))
    listed = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"]
    nodes = {a["address"] for node in listed for a in node["status"]["addresses"] if a["type"] == "InternalIP"}

    def addresses() -> set[str]:
        found = json.loads(cluster.kubectl("get", "ingress", "told", "--namespace", shop.namespace, "--output=json"))
        return {entry["ip"] for entry in found["status"].get("loadBalancer", {}).get("ingress", [])}

    assert until(addresses, 20, "no address in the status") <= nodes


def test_a_broken_ingress_is_told_and_hurts_nobody(cluster: Cluster, site: Site, shop: App) -> None:
    broken = ingress("typo", ("typo.test", "/", "Prefix", "nobody"), ingressClassName=CLASS)
    fine = ingress("fine", ("fine.test", "/", "Prefix", "shop"), ingressClassName=CLASS)
    apply(cluster, shop.namespace, broken, fine)
    answered_by(site, "http://fine.test/", shop)
    assert site.status("http://typo.test/") == 503

    def warnings() -> list[Any]:
        selector = "--field-selector=involvedObject.name=typo,type=Warning"
        listed = cluster.kubectl("get", "events", "--namespace", shop.namespace, selector, "--output=json")
        found: list[Object] = json.loads(listed)["items"]
        return found

    event = until(warnings, 15, "no Event")[0]
    assert event["reason"] == "ServiceNotFound"
    assert "spec.rules[0].http.paths[0]" in event["message"]


def solver(host: str) -> list[Object]:
    """What cert-manager makes for an HTTP-01 challenge: a Service of its own, and an Ingress of one exact path."""
    path = {
        "path": CHALLENGE,
        "pathType": "Exact",
        "backend": {"service": {"name": SOLVER, "port": {"number": 8089}}},
    }
    labels = {"acme.cert-manager.io/http01-solver": "true"}
    annotations = {"nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0,::/0"}
    challenge = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "cm-acme-http-solver-b5v2k", "labels": labels, "annotations": annotations},
        "spec": {"ingressClassName": CLASS, "rules": [{"host": host, "http": {"paths": [path]}}]},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SOLVER, "labels": labels},
        "spec": {
            "type": "NodePort",
            "selector": {"app": SOLVER},
            "ports": [{"name": "http", "port": 8089, "targetPort": 8080}],
        },
    }
    return [service, challenge]


def test_an_http01_challenge_comes_and_goes(cluster: Cluster, site: Site, shop: App) -> None:
    """The solver's path answers over plain HTTP although the host redirects to HTTPS; the rest stays as it was."""
    tls = [{"hosts": ["acme.test"], "secretName": "not-yet-issued"}]
    owner = ingress("owner", ("acme.test", "/", "Prefix", "shop"), tls=tls, ingressClassName=CLASS)
    pods = deploy(cluster, shop.namespace, SOLVER).ready()
    apply(cluster, shop.namespace, owner)
    until(lambda: site.status("http://acme.test/") == 308)
    apply(cluster, shop.namespace, *solver("acme.test"))
    seen = echoed(answered_by(site, f"http://acme.test{CHALLENGE}", pods))
    assert (seen["path"], seen["headers"]["host"]) == (CHALLENGE, "acme.test")
    assert site.status("http://acme.test/") == 308
    assert site.status(f"http://acme.test{CHALLENGE}/more") == 308
    delete(cluster, shop.namespace, "ingress/cm-acme-http-solver-b5v2k", f"service/{SOLVER}")
    until(lambda: site.status(f"http://acme.test{CHALLENGE}") == 308)
    answered_by(site, "https://acme.test/", shop)
