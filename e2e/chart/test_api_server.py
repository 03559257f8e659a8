"""What a real API server says of the objects that the chart renders: every field is known and valid."""

from __future__ import annotations

import json

import pytest

from e2e.chart.rendering import EXPOSURES, Object, exposure, render
from e2e.controlplane.cluster import ControlPlane, KubectlFailed

EVERYTHING = (
    "controller.kind=Deployment",
    "controller.autoscaling.enabled=true",
    "controller.networkPolicy.enabled=true",
    "controller.metrics.serviceMonitor.enabled=true",
    "controller.metrics.prometheusRule.enabled=true",
    "controller.metrics.dashboard.enabled=true",
    "controller.service.type=LoadBalancer",
    "controller.service.internal.enabled=true",
    "controller.service.loadBalancerSourceRanges={10.0.0.0/8}",
    "controller.service.externalTrafficPolicy=Local",
    "controller.service.ipFamilyPolicy=SingleStack",
    "controller.ingressClassResource.aliases={old,older}",
    "controller.ingressClassResource.default=true",
    "controller.proxySetHeaders.X-A=b",
    "controller.addHeaders.X-B=c",
    "controller.sysctls.net\\.core\\.somaxconn=4096",
    "controller.priorityClassName=system-cluster-critical",
    "controller.podSecurityContext.fsGroupChangePolicy=OnRootMismatch",
    "defaultBackend.enabled=true",
    "defaultBackend.replicaCount=2",
    "defaultBackend.image.repository=example.com/errors",
    "rbac.secretNamespaces={default}",
    "imagePullSecrets[0].name=pull",
    "dhParam=eA==",
    "tcp.5432=db/postgres:5432",
    "udp.53=dns/server:53",
)
"""Each part of the chart once."""

SCOPED = ("rbac.scope=true", "controller.scope.enabled=true", "controller.scope.namespace=default")


def custom_resource(kind: str, plural: str) -> Object:
    """As the Prometheus operator brings it; the schema of its fields is not ours to keep."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": free}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> ControlPlane:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "headrace"}}
    monitors = custom_resource("ServiceMonitor", "servicemonitors")
    control_plane.apply(namespace, monitors, custom_resource("PrometheusRule", "prometheusrules"))
    control_plane.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    return control_plane


def admitted(server: ControlPlane, objects: list[Object]) -> int:
    """How many the server would take, strictly: an unknown field is an error. Raises `KubectlFailed`."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    told = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=text)
    return len(told.splitlines())


@pytest.mark.parametrize("name", EXPOSURES)
def test_every_exposure(server: ControlPlane, name: str) -> None:
    objects = render(values=[exposure(name)])
    assert admitted(server, objects) == len(objects)


@pytest.mark.parametrize("settings", [EVERYTHING, SCOPED], ids=["everything", "one namespace"])
def test_every_part(server: ControlPlane, settings: tuple[str, ...]) -> None:
    objects = render(*settings)
    assert admitted(server, objects) == len(objects)


def test_an_unknown_field_would_be_seen(server: ControlPlane) -> None:
    objects = render()
    (workload,) = (each for each in objects if each["kind"] == "DaemonSet")
    workload["spec"]["template"]["spec"]["dnsPolice"] = "Default"
    with pytest.raises(KubectlFailed, match="dnsPolice"):
        admitted(server, objects)
