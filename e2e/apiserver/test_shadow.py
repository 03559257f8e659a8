"""A shadow serves what it reads, and the cluster never hears of it: no status, no Event, no Lease, no write tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from controller.tests.live.objects import ingress, service, slice_at
from e2e.apiserver.replica import CLASS, INGRESS_CLASS, replica
from e2e.chart.rendering import CHART, render, rights
from e2e.controlplane.backends import Backends
from e2e.controlplane.cluster import ControlPlane

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
ADDRESS = ("--publish-status-address", "192.0.2.40")


def _objects(namespace: str, backends: Backends) -> list[dict[str, Any]]:
    rule = ("shadow.test", "/", "Prefix", "shop")
    broken = ("shadow.test", "/gone", "Prefix", "nobody")
    pod = backends.start("shop")
    return [
        service("shop", namespace),
        slice_at("shop", (pod.address, pod.port), namespace=namespace),
        ingress("web", rule, broken, namespace=namespace, ingressClassName=CLASS),
    ]


def _status(control_plane: ControlPlane, namespace: str) -> Any:
    found = json.loads(control_plane.kubectl("get", "ingress", "web", "-n", namespace, "-o", "json"))
    return found["status"].get("loadBalancer", {}).get("ingress")


def _written(control_plane: ControlPlane, namespace: str, lease: str) -> dict[str, Any]:
    """What a controller writes, as the API server has it now."""
    events = json.loads(control_plane.kubectl("get", "events", "-n", namespace, "-o", "json"))["items"]
    named = ("lease", lease, "-n", "headrace", "-o", "name", "--ignore-not-found")
    return {
        "status": _status(control_plane, namespace),
        "events": sorted({event["reason"] for event in events if event["involvedObject"]["name"] == "web"}),
        "lease": control_plane.kubectl("get", *named).strip(),
    }


def test_a_shadow_serves_and_writes_nothing(
    control_plane: ControlPlane, backends: Backends, namespace: str, tmp_path: Path
) -> None:
    """It has all the rights of the chart: nothing is written because nothing is tried."""
    control_plane.apply(*_objects(namespace, backends))
    flags = ("--election-id", "in-the-shadow", *ADDRESS)
    with replica(control_plane, tmp_path / "a", *flags, "--shadow") as shadow:
        shadow.until(lambda: shadow.get("http://shadow.test/").status == 200, 10)
        control_plane.kubectl("annotate", "ingress", "web", "-n", namespace, "team=shop")
        shadow.until(lambda: _with_finding(shadow.log.read_text()), 5)
        assert shadow.metric("headrace_leader") == 0
        nothing: dict[str, Any] = {"status": None, "events": [], "lease": ""}
        assert _written(control_plane, namespace, "in-the-shadow") == nothing
    assert _written(control_plane, namespace, "in-the-shadow") == nothing

    with replica(control_plane, tmp_path / "b", *flags) as visible:
        visible.until(lambda: _status(control_plane, namespace) == [{"ip": "192.0.2.40"}], 10)
        visible.until(lambda: bool(_written(control_plane, namespace, "in-the-shadow")["events"]), 5)
        assert _written(control_plane, namespace, "in-the-shadow")["lease"]


def test_the_rights_of_a_shadow_are_enough_and_allow_no_write(
    control_plane: ControlPlane, backends: Backends, namespace: str, tmp_path: Path
) -> None:
    made = replica(control_plane, tmp_path / "a", "--shadow")
    control_plane.apply(*rights("shadow=true"), INGRESS_CLASS, *_objects(namespace, backends))
    try:
        for rules in (each["rules"] for each in rights("shadow=true") if each["kind"] in ("Role", "ClusterRole")):
            assert not WRITES & {verb for rule in rules for verb in rule["verbs"]}
        with made as shadow:
            shadow.until(lambda: shadow.get("http://shadow.test/").status == 200, 10)
            assert "forbidden" not in shadow.log.read_text().lower()
    finally:
        control_plane.apply(*rights())


def test_the_values_of_a_shadow_make_nothing_that_others_would_notice() -> None:
    kinds = {each["kind"] for each in render(values=[CHART / "shadow.yaml"])}
    assert not kinds & {"IngressClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "DaemonSet"}
    services = [each["spec"]["type"] for each in render(values=[CHART / "shadow.yaml"]) if each["kind"] == "Service"]
    assert set(services) == {"ClusterIP"}


def _with_finding(log: str) -> bool:
    return any("nobody" in line for line in log.splitlines())
