"""What the chart renders and what it refuses, without a cluster."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from controller.version import __version__
from e2e.chart.rendering import (
    CHART,
    EXPOSURES,
    Refused,
    by_name,
    container_of,
    exposure,
    helm,
    render,
    template,
)
from e2e.chart.schema import unexplained, written

GOLDEN = Path(__file__).parent / "golden"


def test_lint_has_nothing_to_say() -> None:
    for values in ([], *([f"--values={exposure(name)}"] for name in EXPOSURES)):
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


def test_the_schema_is_that_of_the_values() -> None:
    """`python -m e2e.chart.schema` writes it anew."""
    assert written() == (CHART / "values.schema.json").read_text()


def test_every_value_is_explained() -> None:
    assert not list(unexplained((CHART / "values.yaml").read_text()))


# -- values


def test_numbers_stay_as_they_were_written(tmp_path: Path) -> None:
    """Helm reads them as floating point, and would write 3.1536e+07."""
    given = tmp_path / "values.yaml"
    given.write_text(
        "controller: {config: {a: 31536000, b: 12345678901, c: 1.5, d: true}, extraArgs: {v: 2, x: 4000000}}"
    )
    objects = render(values=[given])
    assert by_name(objects, "ConfigMap")["data"] == {"a": "31536000", "b": "12345678901", "c": "1.5", "d": "true"}
    assert {"--v=2", "--x=4000000"} <= set(container_of(objects)["args"])


def test_a_flag_that_is_given_wins_and_one_without_value_is_bare(tmp_path: Path) -> None:
    given = tmp_path / "values.yaml"
    given.write_text("controller: {extraArgs: {election-id: mine, http-port: 9090, one: '', two: null}}")
    arguments = container_of(render(values=[given]))["args"]
    assert {"--election-id=mine", "--http-port=9090", "--one", "--two"} <= set(arguments)
    assert len({argument.partition("=")[0] for argument in arguments}) == len(arguments)


def test_a_selector_of_namespaces_is_for_all_but_one_namespace() -> None:
    selected = "controller.scope.namespaceSelector=team=a"
    assert "--watch-namespace-selector=team=a" in container_of(render(selected))["args"]
    one = container_of(render(selected, "controller.scope.enabled=true", "controller.scope.namespace=shop"))["args"]
    assert "--watch-namespace=shop" in one
    assert not [argument for argument in one if "selector" in argument]


def test_a_service_inside_is_as_the_first_but_for_its_addresses() -> None:
    objects = render(
        "controller.kind=Deployment",
        "controller.service.type=LoadBalancer",
        "controller.service.loadBalancerIP=192.0.2.1",
        "controller.service.ipFamilyPolicy=PreferDualStack",
        "controller.service.internal.enabled=true",
        "controller.service.internal.ports.http=8080",
    )
    inside = by_name(objects, "Service", "headrace-controller-internal")["spec"]
    assert (inside["type"], inside["ipFamilyPolicy"]) == ("LoadBalancer", "PreferDualStack")
    assert "loadBalancerIP" not in inside
    assert [port["port"] for port in inside["ports"]] == [8080, 443]


def test_without_the_first_service_nothing_is_exposed_outside() -> None:
    objects = render(
        "controller.kind=Deployment",
        "controller.service.type=LoadBalancer",
        "controller.service.external.enabled=false",
        "controller.service.internal.enabled=true",
    )
    services = {each["metadata"]["name"] for each in objects if each["kind"] == "Service"}
    assert services == {"headrace-controller-internal", "headrace-controller-metrics"}
    assert "--publish-service=headrace/headrace-controller-internal" in container_of(objects)["args"]


def test_a_default_backend_is_made_of_the_image_that_is_named() -> None:
    with pytest.raises(Refused, match="needs an image"):
        template("defaultBackend.enabled=true")
    objects = render("defaultBackend.enabled=true", "defaultBackend.image.repository=example.com/errors")
    assert by_name(objects, "Deployment", "headrace-defaultbackend")
    assert "--default-backend-service=headrace/headrace-defaultbackend" in container_of(objects)["args"]
    there = render("defaultBackend.enabled=true", "defaultBackend.existingService=shop/errors")
    assert "Deployment" not in {each["kind"] for each in there}
    assert "--default-backend-service=shop/errors" in container_of(there)["args"]


def test_an_old_class_is_adopted_without_being_made() -> None:
    settings = ("controller.ingressClassResource.enabled=false",)
    objects = render(*settings, "controller.ingressClassResource.controllerValue=k8s.io/ingress-nginx")
    assert not [each for each in objects if each["kind"] == "IngressClass"]
    assert "--controller-class=k8s.io/ingress-nginx" in container_of(objects)["args"]


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


def test_rights_that_flags_do_not_need_are_not_granted() -> None:
    assert {"nodes"} <= granted() and "namespaces" not in granted()
    assert "namespaces" in granted("controller.scope.namespaceSelector=a=b")
    assert "nodes" not in granted("controller.kind=Deployment", "controller.service.type=LoadBalancer")


def granted(*settings: str) -> set[str]:
    """What may be read or written in the whole cluster."""
    rules = by_name(render(*settings), "ClusterRole")["rules"]
    return {resource for rule in rules for resource in rule["resources"]}


@pytest.mark.parametrize(
    "settings",
    [("rbac.secretNamespaces={shop}",), ("rbac.scope=true", "controller.scope.enabled=true")],
    ids=["some Secrets", "one namespace"],
)
def test_the_default_certificate_can_be_read_wherever_it_is(settings: tuple[str, ...]) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["wild"], "verbs": ["list", "watch"]}
    for given in ("controller.defaultTLSSecret=certs/wild", "controller.extraArgs.default-ssl-certificate=certs/wild"):
        role = by_name(render(*settings, given), "Role", "headrace-default-certificate")
        assert (role["metadata"]["namespace"], role["rules"]) == ("certs", [rule])
    everywhere = render("controller.defaultTLSSecret=certs/wild")
    assert "headrace-default-certificate" not in {each["metadata"]["name"] for each in everywhere}


@pytest.mark.parametrize("name", EXPOSURES)
def test_pods_have_no_privilege_they_do_not_need(name: str) -> None:
    """Pod Security "restricted" but for ports of the node; only with its network nginx binds below 1024 itself."""
    objects = render(values=[exposure(name)])
    (pod,) = (each["spec"]["template"]["spec"] for each in objects if each["kind"] in ("DaemonSet", "Deployment"))
    context = container_of(objects)["securityContext"]
    assert context["runAsNonRoot"] and context["readOnlyRootFilesystem"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    on_host = pod.get("hostNetwork", False)
    assert context["allowPrivilegeEscalation"] is on_host is (name == "hostnetwork")
    ports = {port.get("hostPort") for port in container_of(objects)["ports"]} - {None}
    assert ports == ({80, 443} if name == "hostport" else set())


def test_a_port_below_1024_needs_a_privilege_and_gets_it() -> None:
    for setting in ("controller.containerPort.http=80", "udp.53=dns/server:53"):
        assert container_of(render(setting))["securityContext"]["allowPrivilegeEscalation"] is True


def test_hooks_of_the_old_image_are_left_out_and_others_kept(tmp_path: Path) -> None:
    given = tmp_path / "values.yaml"
    given.write_text("controller: {lifecycle: {preStop: {exec: {command: [/wait-shutdown]}}}}")
    assert "lifecycle" not in container_of(render(values=[given]))
    given.write_text("controller: {lifecycle: {preStop: {exec: {command: [/mine]}}}}")
    assert container_of(render(values=[given]))["lifecycle"] == {"preStop": {"exec": {"command": ["/mine"]}}}


def test_a_deployment_is_never_short_of_pods_and_survives_evictions() -> None:
    objects = render(values=[exposure("nodeport")])
    by_kind = {each["kind"]: each for each in objects}
    assert by_kind["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert by_kind["PodDisruptionBudget"]["spec"]["minAvailable"] == 1
    alone = render("controller.replicaCount=1", values=[exposure("nodeport")])
    assert "PodDisruptionBudget" not in {each["kind"] for each in alone}, "one pod must not block a drain of its node"
