"""`headrace migrate` against the real API server: the flags that are there are followed, and nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.tests.live.objects import ingress, service, slice_at
from controller.tests.migrate.test_report import deployment
from e2e.apiserver.replica import replica
from e2e.chart.rendering import rights
from e2e.controlplane.backends import Backends
from e2e.controlplane.cluster import ControlPlane

ADOPTED = ("--controller-class", "k8s.io/ingress-nginx", "--shadow")


@pytest.fixture
def nginx_class(control_plane: ControlPlane) -> Iterator[str]:
    """The class of an ingress-nginx, gone after the test."""
    spec = {"controller": "k8s.io/ingress-nginx"}
    api = "networking.k8s.io/v1"
    control_plane.apply({"apiVersion": api, "kind": "IngressClass", "metadata": {"name": "old"}, "spec": spec})
    yield "old"
    control_plane.kubectl("delete", "ingressclass", "old")


def migrate(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller", "migrate", *arguments, "--kubeconfig", str(kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def installed(namespace: str) -> list[dict[str, Any]]:
    """A Deployment of ingress-nginx as its chart labels it, and its ConfigMap."""
    front = deployment(f"--configmap={namespace}/front", "--watch-ingress-without-class", namespace=namespace)
    labels = {"app.kubernetes.io/name": "ingress-nginx"}
    front["metadata"]["labels"] = labels
    front["spec"]["selector"] = {"matchLabels": labels}
    front["spec"]["template"]["metadata"] = {"labels": labels}
    data = {"proxy-body-size": "20m", "server-snippet": "gzip on;"}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "front", "namespace": namespace}}
    return [front, {**settings, "data": data}]


def versions(control_plane: ControlPlane, namespace: str) -> dict[str, str]:
    listed = ("ingresses,services,configmaps,leases", "-n", namespace, "-o", "json")
    items = json.loads(control_plane.kubectl("get", *listed))["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in items}


def test_the_report_of_a_cluster_follows_the_flags_that_are_there(
    control_plane: ControlPlane, namespace: str, nginx_class: str, tmp_path: Path
) -> None:
    snippet = {"configuration-snippet": "proxy_read_timeout 5m;"}
    rule = ("web.test", "/", "Prefix", "shop")
    objects = [ingress("web", rule, annotations=snippet, namespace=namespace, ingressClassName=nginx_class)]
    control_plane.apply(*installed(namespace), service("shop", namespace), *objects)
    before = versions(control_plane, namespace)
    done = migrate(control_plane.admin_kubeconfig, "report", "--output", "json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["deployed"][0]["image"].startswith("registry.k8s.io/ingress-nginx/controller:")
    assert {item["name"]: item["fate"] for item in report["configmap"]["keys"]} == {
        "proxy-body-size": "carried-over",
        "server-snippet": "refused",
    }
    (web,) = [each for each in report["ingresses"] if each["namespace"] == namespace]
    assert web["annotations"][0]["plan"]["annotations"] == {f"{namespace}/web": {"proxy-read-timeout": "300"}}
    assert versions(control_plane, namespace) == before, "it only looks"


def test_the_report_needs_no_more_than_the_rights_of_a_shadow(control_plane: ControlPlane, tmp_path: Path) -> None:
    """It cannot see Deployments with them, and says what it sees."""
    control_plane.apply(*rights("shadow=true"))
    try:
        done = migrate(control_plane.kubeconfig_for("headrace", "headrace"), "report")
    finally:
        control_plane.apply(*rights())
    assert done.returncode in (0, 1), done.stderr
    assert "Ingresses are served" in done.stdout
    assert "Traceback" not in done.stderr


def test_two_controllers_of_one_cluster_answer_alike(
    control_plane: ControlPlane, backends: Backends, namespace: str, nginx_class: str, tmp_path: Path
) -> None:
    pod = backends.start("shop")
    rules = [("web.test", "/", "Prefix", "shop"), ("web.test", "/exact", "Exact", "shop")]
    control_plane.apply(
        service("shop", namespace),
        slice_at("shop", (pod.address, pod.port), namespace=namespace),
        ingress("web", *rules, namespace=namespace, ingressClassName=nginx_class),
    )
    one = replica(control_plane, tmp_path / "a", *ADOPTED)
    other = replica(control_plane, tmp_path / "b", *ADOPTED, "--election-id", "other")
    with one, other:
        for each in (one, other):
            each.until(lambda each=each: each.get("http://web.test/").status == 200, 10)
        places = [f"http://127.0.0.1:{each.http},https://127.0.0.1:{each.https}" for each in (one, other)]
        flags = ("--rate", "500", "--include", "web.test*", "--output", "json", "--ignore-body")
        done = migrate(control_plane.admin_kubeconfig, "diff", *places, *flags)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert found["summary"]["requests"] > 10
    assert found["summary"]["failed"] == 0
    differing = {d["what"] for each in found["differences"] for d in each["differences"]}
    assert differing <= {"certificate"}, "each has its own self-signed one"
