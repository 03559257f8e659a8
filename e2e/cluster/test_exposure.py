"""Every way of exposing the controller, as its values file in `charts/headrace/ci` sets it up: asked from outside."""

from __future__ import annotations

import json
import socket

from controller.tests.live.objects import ingress
from e2e.cluster.apps import App, apply
from e2e.cluster.ask import Site, echoed, until
from e2e.cluster.fixtures import CLASS, ECHO
from e2e.cluster.forward import port_forward
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, TWO_REPLICAS, UNDRAINED, Release, Shared, Spec, serving

LOAD_BALANCER = "203.0.113.80"
CLUSTER_IP = Spec("clusterip", UNDRAINED)


def answers(release: Release, app: App, site: Site) -> None:
    """HTTP and HTTPS reach the application, and it is told how the client came."""
    pods = {pod["metadata"]["name"] for pod in app.pods()}
    until(lambda: site.status(f"http://{ECHO}/") == 200, 20, release.spec.exposure)
    for scheme in ("http", "https"):
        answer = site.get(f"{scheme}://{ECHO}/path?x=1")
        assert answer.status == 200, answer
        seen = echoed(answer)
        assert seen["pod"] in pods
        assert seen["target"] == "/path?x=1"
        assert seen["headers"]["host"] == ECHO
        assert seen["headers"]["x-forwarded-proto"] == scheme


def own_address(towards: str) -> str:
    """The address that this machine uses towards another one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((towards, 9))
        return str(probe.getsockname()[0])


def sees_our_address(site: Site) -> None:
    seen = echoed(site.get(f"http://{ECHO}/"))
    assert seen["headers"]["x-real-ip"] == own_address(site.address)


def test_host_network(shared: Shared, echo: App) -> None:
    release = shared.get(Spec("hostnetwork", UNDRAINED))
    answers(release, echo, Site(release.cluster.node_address, 80, 443))
    sees_our_address(release.site)


def test_load_balancer_whose_address_goes_into_the_status(shared: Shared, echo: App, namespace: str) -> None:
    release = shared.get(Spec("loadbalancer", UNDRAINED))
    status = {"status": {"loadBalancer": {"ingress": [{"ip": LOAD_BALANCER}]}}}
    service = release.service
    assert service["spec"]["type"] == "LoadBalancer"
    name = service["metadata"]["name"]
    release.kubectl("patch", "service", name, "--subresource=status", "--type=merge", "--patch", json.dumps(status))
    apply(release.cluster, namespace, ingress("told", ("told.test", "/", "Prefix", "none"), ingressClassName=CLASS))
    until(lambda: addresses(release.cluster, namespace, "told") == [{"ip": LOAD_BALANCER}], 20, "the status")
    # A load balancer sends what it gets to the node ports.
    answers(release, echo, release.site)


def addresses(cluster: Cluster, namespace: str, name: str) -> list[dict[str, str]]:
    """What the status of an Ingress says."""
    found = json.loads(cluster.kubectl("get", "ingress", name, "--namespace", namespace, "--output=json"))
    written: list[dict[str, str]] = found["status"].get("loadBalancer", {}).get("ingress", [])
    return written


def test_cluster_ip_from_inside_a_pod(shared: Shared, echo: App) -> None:
    release = shared.get(CLUSTER_IP)
    service = release.service["spec"]
    assert service["type"] == "ClusterIP"
    for scheme in ("http", "https"):
        seen = echo.ask(f"{scheme}://{service['clusterIP']}/inside", "--host", ECHO)
        assert seen["status"] == 200, seen
        assert json.loads(seen["body"])["path"] == "/inside"


def test_port_forward(shared: Shared, echo: App) -> None:
    release = shared.get(CLUSTER_IP)
    with port_forward(release, "http", "https") as (http, https):
        answers(release, echo, Site("127.0.0.1", http, https))


def test_node_port(shared: Shared, echo: App) -> None:
    release = shared.get(TWO_REPLICAS)
    assert release.service["spec"]["type"] == "NodePort"
    assert serving(release, f"http://{ECHO}/")
    answers(release, echo, release.site)


def test_host_port(shared: Shared, echo: App) -> None:
    release = shared.get(HOST_PORT)
    answers(release, echo, Site(release.cluster.node_address, 80, 443))
    sees_our_address(release.site)
