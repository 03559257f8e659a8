"""What the chart renders and what it refuses, without a cluster."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.version import __version__
from e2e.chart.rendering import CHART, EXPOSURES, Object, Refused, exposure, helm, render, template

GOLDEN = Path(__file__).parent / "golden"
INGRESS_NGINX = Path(__file__).parent / "ingress-nginx-values.yaml"


def test_lint_has_nothing_to_say() -> None:
    for values in ([], *([f"--values={exposure(name)}"] for name in EXPOSURES), [f"--values={INGRESS_NGINX}"]):
        helm("lint", "--strict", str(CHART), *values)


def test_the_version_is_the_controllers() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert f"IMAGE=headrace:{__version__}\n" in (CHART.parents[1] / "README.md").read_text()


@pytest.mark.parametrize("name", EXPOSURES)
def test_each_exposure_renders_as_it_did(name: str) -> None:
    """Read every line of a difference before it is kept: HEADRACE_UPDATE_GOLDEN=1 writes what is rendered now."""
    # The policies are written from the code, and have tests of their own.
    text = template("admissionPolicy.enabled=false", values=[exposure(name)])
    found = text.replace(__version__, "VERSION")
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


# -- the schema


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("controler.kind=Deployment", "controler"),
        ("controller.hostport.enabled=true", "hostport"),
        ("controller.service.tpye=NodePort", "tpye"),
        ("controller.image.repo=x", "repo"),
        ("controller.ingressClassResource.controllerVal=x", "controllerVal"),
        ("controller.metrics.serviceMonitor.enable=true", "enable"),
        ("controller.autoscaling.maxReplica=3", "maxReplica"),
        ("rbac.scoped=true", "scoped"),
        ("admissionPolicy.enable=false", "enable"),
        ("controller.kind=StatefulSet", "/controller/kind"),
        ("controller.replicaCount=two", "/controller/replicaCount"),
        ("controller.service.type=Nodeport", "/controller/service/type"),
        ("controller.defaultTLSSecret=no-namespace", "/controller/defaultTLSSecret"),
        ("tcp.http=a/b:80", "/tcp"),
        ("controller.watchIngressWithoutClass=yes", "/controller/watchIngressWithoutClass"),
    ],
)
def test_a_typo_is_refused_by_its_name(setting: str, named: str) -> None:
    with pytest.raises(Refused, match=re.escape(named)):
        template(setting)


def test_every_value_has_a_default_and_every_default_is_in_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert not list(_missing(values, schema))


def _missing(values: Object, schema: Object, path: str = "") -> Iterator[str]:
    """Values that the schema does not name; objects without properties are Kubernetes' own."""
    properties = schema.get("properties")
    if properties is None:
        return
    assert schema["additionalProperties"] is False, path
    for name, value in values.items():
        if name not in properties:
            yield f"{path}.{name}"
        elif isinstance(value, dict):
            yield from _missing(value, properties[name], f"{path}.{name}")


def test_an_image_of_ingress_nginx_is_not_taken_over() -> None:
    with pytest.raises(Refused, match=r"remove controller\.image"):
        template("controller.image.repository=registry.k8s.io/ingress-nginx/controller")


# -- coming from ingress-nginx


def test_values_of_an_ingress_nginx_installation_mean_the_same() -> None:
    objects = render(values=[INGRESS_NGINX], release="ingress-nginx", namespace="ingress-nginx")
    by_kind = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    name = "ingress-nginx-headrace-controller"
    workload = by_kind["Deployment", name]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert workload["spec"].get("replicas") is None, "the autoscaler has them"
    assert container["image"].startswith("headrace:")
    for flag in (
        "--controller-class=k8s.io/ingress-nginx",
        "--ingress-class=nginx",
        f"--configmap=ingress-nginx/{name}",
        f"--publish-service=ingress-nginx/{name}",
        "--watch-ingress-without-class",
        "--default-ssl-certificate=ingress-nginx/wildcard",
        "--tcp-services-configmap=ingress-nginx/ingress-nginx-headrace-tcp",
        "--enable-ssl-passthrough",
        "--v=2",
    ):
        assert flag in container["args"]
    assert by_kind["ConfigMap", name]["data"]["proxy-body-size"] == "64m"
    assert (
        by_kind["ConfigMap", name]["data"]["add-headers"] == "ingress-nginx/ingress-nginx-headrace-custom-add-headers"
    )
    assert by_kind["ConfigMap", "ingress-nginx-headrace-tcp"]["data"] == {"5432": "db/postgres:5432"}
    service = by_kind["Service", name]["spec"]
    assert (service["type"], service["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert [port["name"] for port in service["ports"]] == ["http", "https", "5432-tcp"]
    assert by_kind["IngressClass", "nginx"]["spec"]["controller"] == "k8s.io/ingress-nginx"
    assert ("ServiceMonitor", name) in by_kind


def test_an_old_class_is_adopted_without_being_made() -> None:
    settings = ("controller.ingressClassResource.enabled=false",)
    objects = render(*settings, "controller.ingressClassResource.controllerValue=k8s.io/ingress-nginx")
    assert not [each for each in objects if each["kind"] == "IngressClass"]
    assert "--controller-class=k8s.io/ingress-nginx" in _container(objects)["args"]


# -- rights and pods


def test_rights_end_where_values_say() -> None:
    everywhere = {each["kind"] for each in render()}
    assert {"ClusterRole", "ClusterRoleBinding"} <= everywhere
    narrow = render("rbac.scope=true", "controller.scope.enabled=true", "controller.scope.namespace=shop")
    assert not {"ClusterRole", "ClusterRoleBinding"} & {each["kind"] for each in narrow}
    assert {each["metadata"]["namespace"] for each in narrow if each["kind"] == "Role"} == {"headrace", "shop"}
    named = render("rbac.secretNamespaces={shop,blog}")
    (cluster,) = (each for each in named if each["kind"] == "ClusterRole")
    assert "secrets" not in {resource for rule in cluster["rules"] for resource in rule["resources"]}
    readable = {each["metadata"]["namespace"] for each in named if each["metadata"]["name"] == "headrace-secrets"}
    assert readable == {"shop", "blog"}


@pytest.mark.parametrize("name", EXPOSURES)
def test_pods_have_no_privilege_they_do_not_need(name: str) -> None:
    """Pod Security "restricted" but for ports of the node; only with its network nginx binds below 1024 itself."""
    objects = render(values=[exposure(name)])
    (pod,) = (each["spec"]["template"]["spec"] for each in objects if each["kind"] in ("DaemonSet", "Deployment"))
    context = _container(objects)["securityContext"]
    assert context["runAsNonRoot"] and context["readOnlyRootFilesystem"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    on_host = pod.get("hostNetwork", False)
    assert context["allowPrivilegeEscalation"] is on_host is (name == "hostnetwork")
    ports = {port.get("hostPort") for port in _container(objects)["ports"]} - {None}
    assert ports == ({80, 443} if name == "hostport" else set())


def test_a_deployment_is_never_short_of_pods_and_survives_evictions() -> None:
    objects = render(values=[exposure("nodeport")])
    by_kind = {each["kind"]: each for each in objects}
    assert by_kind["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert by_kind["PodDisruptionBudget"]["spec"]["minAvailable"] == 1
    alone = render("controller.replicaCount=1", values=[exposure("nodeport")])
    assert "PodDisruptionBudget" not in {each["kind"] for each in alone}, "one pod must not block a drain of its node"


def _container(objects: list[Object]) -> Object:
    (pod,) = (each["spec"]["template"]["spec"] for each in objects if each["kind"] in ("DaemonSet", "Deployment"))
    (container,) = pod["containers"]
    found: Object = container
    return found
