"""What a real API server says of the objects that the chart renders: every field is known and valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.chart.rendering import (
    EXPOSURES,
    INGRESS_NGINX,
    INGRESS_NGINX_DEFAULTS,
    INGRESS_NGINX_EVERYTHING,
    Object,
    by_name,
    exposure,
    render,
)
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


def namespace(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> ControlPlane:
    control_plane.apply(namespace("headrace"), namespace("edge-system"))
    control_plane.apply(namespace("restricted", **{"pod-security.kubernetes.io/enforce": "restricted"}))
    monitors = custom_resource("ServiceMonitor", "servicemonitors")
    control_plane.apply(monitors, custom_resource("PrometheusRule", "prometheusrules"))
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


@pytest.mark.parametrize(
    "values", [INGRESS_NGINX, INGRESS_NGINX_EVERYTHING, INGRESS_NGINX_DEFAULTS], ids=lambda path: path.stem
)
def test_values_of_ingress_nginx(server: ControlPlane, values: Path) -> None:
    objects = render(values=[values], namespace="edge-system")
    assert admitted(server, objects) == len(objects)


@pytest.mark.parametrize("name", EXPOSURES)
def test_pods_are_restricted_but_for_ports_and_network_of_the_node(server: ControlPlane, name: str) -> None:
    """Asked of the admission of pods (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""
    template = workload(render(values=[exposure(name)]))["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] |= {"name": "pod", "namespace": "restricted"}
    pod["spec"]["serviceAccountName"] = "default"
    if name in ("hostport", "hostnetwork"):
        with pytest.raises(KubectlFailed) as refused:
            admitted(server, [pod])
        reasons = "host namespaces" if name == "hostnetwork" else "hostPort"
        assert reasons in str(refused.value)
        assert ("allowPrivilegeEscalation" in str(refused.value)) is (name == "hostnetwork")
    else:
        assert admitted(server, [pod]) == 1


def workload(objects: list[Object]) -> Object:
    return next(each for each in objects if each["kind"] in ("DaemonSet", "Deployment"))


def test_a_release_of_ingress_nginx_is_upgraded_in_place(server: ControlPlane) -> None:
    """What cannot be changed later (selectors, references of bindings, controllers of classes) is as it was."""
    server.apply(namespace("ingress-nginx"), *old_release())
    objects = render(values=[INGRESS_NGINX_DEFAULTS], release="ingress-nginx", namespace="ingress-nginx")
    assert admitted(server, objects) == len(objects)
    moved = by_name(objects, "Deployment")
    moved["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] = "headrace"
    moved["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = "headrace"
    with pytest.raises(KubectlFailed, match="immutable"):
        admitted(server, [moved])


def old_release() -> list[Object]:
    """What matters of the objects that the chart of ingress-nginx made."""
    labels = {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/instance": "ingress-nginx"}
    labels["app.kubernetes.io/component"] = "controller"
    there = {"namespace": "ingress-nginx", "name": "ingress-nginx-controller"}
    container = {"name": "controller", "image": "registry.k8s.io/ingress-nginx/controller:v1.15.1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": there,
         "spec": {"selector": {"matchLabels": labels}, "template": template}},
        {"apiVersion": "v1", "kind": "Service", "metadata": there,
         "spec": {"type": "LoadBalancer", "selector": labels, "ports": ports}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
         "spec": {"controller": "k8s.io/ingress-nginx"}},
        old_binding("ClusterRoleBinding", "ClusterRole"),
        old_binding("RoleBinding", "Role", namespace="ingress-nginx"),
    ]  # fmt: skip


def old_binding(kind: str, role: str, **metadata: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "ingress-nginx", **metadata},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "ingress-nginx"},
        "subjects": [{"kind": "ServiceAccount", "name": "ingress-nginx", "namespace": "ingress-nginx"}],
    }


def test_an_unknown_field_would_be_seen(server: ControlPlane) -> None:
    objects = render()
    workload(objects)["spec"]["template"]["spec"]["dnsPolice"] = "Default"
    with pytest.raises(KubectlFailed, match="dnsPolice"):
        admitted(server, objects)
