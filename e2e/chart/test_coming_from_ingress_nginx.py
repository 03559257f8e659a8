"""Values files of ingress-nginx: taken as they are, they mean the same, and its release can be upgraded in place."""

from __future__ import annotations

import pytest

from e2e.chart.rendering import (
    CHART,
    INGRESS_NGINX,
    INGRESS_NGINX_DEFAULTS,
    INGRESS_NGINX_EVERYTHING,
    Refused,
    by_name,
    container_of,
    helm,
    notes,
    render,
    template,
)
from e2e.chart.schema import WITHOUT_EFFECT


def test_lint_has_nothing_to_say() -> None:
    for values in (INGRESS_NGINX, INGRESS_NGINX_EVERYTHING, INGRESS_NGINX_DEFAULTS):
        helm("lint", "--strict", str(CHART), f"--values={values}")


def test_values_of_an_installation_mean_the_same() -> None:
    objects = render(values=[INGRESS_NGINX], release="ingress-nginx", namespace="ingress-nginx")
    name = "ingress-nginx-headrace-controller"
    workload = by_name(objects, "Deployment", name)
    container = container_of(objects)
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
    settings = by_name(objects, "ConfigMap", name)["data"]
    assert (settings["proxy-body-size"], settings["hsts-max-age"]) == ("64m", "31536000")
    assert settings["add-headers"] == "ingress-nginx/ingress-nginx-headrace-custom-add-headers"
    assert by_name(objects, "ConfigMap", "ingress-nginx-headrace-tcp")["data"] == {"5432": "db/postgres:5432"}
    service = by_name(objects, "Service", name)["spec"]
    assert (service["type"], service["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert [port["name"] for port in service["ports"]] == ["http", "https", "5432-tcp"]
    assert by_name(objects, "IngressClass")["spec"]["controller"] == "k8s.io/ingress-nginx"
    assert by_name(objects, "ServiceMonitor", name)


def test_every_value_is_taken_and_probes_ask_as_ours_must() -> None:
    container = container_of(render(values=[INGRESS_NGINX_EVERYTHING]))
    asked = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert asked == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert container["readinessProbe"]["initialDelaySeconds"] == 10
    assert "--watch-namespace-selector=env=prod" in container["args"]


def test_what_has_no_effect_is_told_after_installing_and_in_the_table() -> None:
    told = notes(values=[INGRESS_NGINX_EVERYTHING])
    for name in ("admissionWebhooks", "customTemplate", "image.chroot", "lifecycle.preStop", "opentelemetry"):
        assert f"controller.{name}" in told
    assert "Without effect" not in notes()
    table = (CHART.parents[1] / "docs" / "values.md").read_text()
    assert not [path for path in WITHOUT_EFFECT if path.removeprefix("controller.") not in table]


@pytest.mark.parametrize(
    "setting",
    ["controller.image.repository=registry.k8s.io/ingress-nginx/controller", "global.image.registry=registry.k8s.io",
     "controller.image.image=ingress-nginx/controller"],
)  # fmt: skip
def test_its_image_is_not_taken_over(setting: str) -> None:
    with pytest.raises(Refused, match="is of ingress-nginx: remove"):
        template(setting)


def test_its_release_is_upgraded_in_place() -> None:
    """The names and the selector of chart 4.x: an upgrade keeps the Service, and so its address, and the workload."""
    objects = render(values=[INGRESS_NGINX_DEFAULTS], release="ingress-nginx", namespace="ingress-nginx")
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    assert {
        ("Service", "ingress-nginx-controller"),
        ("Deployment", "ingress-nginx-controller"),
        ("ConfigMap", "ingress-nginx-controller"),
        ("ServiceAccount", "ingress-nginx"),
        ("ClusterRole", "ingress-nginx"),
        ("IngressClass", "nginx"),
    } <= names
    labels = {
        "app.kubernetes.io/name": "ingress-nginx",
        "app.kubernetes.io/instance": "ingress-nginx",
        "app.kubernetes.io/component": "controller",
    }
    assert by_name(objects, "Deployment")["spec"]["selector"] == {"matchLabels": labels}
    service = by_name(objects, "Service", "ingress-nginx-controller")["spec"]
    assert (service["type"], service["selector"]) == ("LoadBalancer", labels)
    assert "--election-id=ingress-nginx-leader" in container_of(objects)["args"], (
        "so that one of both writes the status"
    )
