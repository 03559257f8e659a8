"""Requests go to pods, not through Services: kube-proxy may be away, and the access log names the pods."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from controller.tests.live.objects import ingress
from e2e.cluster.apps import apply, deploy
from e2e.cluster.ask import Site, echoed, until
from e2e.cluster.fixtures import CLASS
from e2e.cluster.provider import Cluster, CommandFailed, LocalCluster
from e2e.cluster.release import HOST_PORT, Release, Shared


@pytest.fixture
def release(shared: Shared) -> Release:
    return shared.get(HOST_PORT)


@pytest.fixture
def no_kube_proxy(local_cluster: LocalCluster, release: Release) -> Iterator[None]:
    """From here on nothing is written about Services into the kernel; what stands there stays."""
    local_cluster.stop_kube_proxy()
    yield
    local_cluster.start_kube_proxy()


def pods_answering(site: Site, url: str, asked: int) -> set[str]:
    return {str(echoed(site.get(url))["address"]) for _ in range(asked)}


@pytest.mark.usefixtures("no_kube_proxy")
def test_new_services_are_served_without_kube_proxy(cluster: Cluster, release: Release, namespace: str) -> None:
    app = deploy(cluster, namespace, "straight", replicas=2)
    apply(cluster, namespace, ingress("straight", ("straight.test", "/", "Prefix", "straight"), ingressClassName=CLASS))
    app.ready()
    site = release.site
    until(lambda: site.status("http://straight.test/") == 200)
    service = app.kubectl("get", "service", "straight", "--output=jsonpath={.spec.clusterIP}")
    assert service not in app.addresses()
    with pytest.raises(CommandFailed, match=r"(?i)timed? ?out|refused"):
        app.ask(f"http://{service}/")
    until(lambda: pods_answering(site, "http://straight.test/", 10) == app.addresses(), 10, "both pods answer")
    app.scale(3)
    app.ready()
    until(lambda: pods_answering(site, "http://straight.test/", 15) == app.addresses(), 10, "the third pod answers")


def test_the_access_log_names_the_pod(cluster: Cluster, release: Release, namespace: str) -> None:
    app = deploy(cluster, namespace, "logged").ready()
    apply(cluster, namespace, ingress("logged", ("logged.test", "/", "Prefix", "logged"), ingressClassName=CLASS))
    mark = f"/mark-{time.time_ns()}"
    until(lambda: release.site.status(f"http://logged.test{mark}") == 200)
    (address,) = app.addresses()

    def line() -> str:
        return next((line for line in release.logs().splitlines() if mark in line and " 200 " in line), "")

    assert f"{address}:8080" in until(line, 10, "no line in the access log")
