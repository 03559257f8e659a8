"""What replicas write back: who leads, addresses of nodes in the status of Ingresses, and Events on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.tests.live.objects import ingress
from e2e.apiserver.replica import CLASS, replica
from e2e.controlplane.cluster import ControlPlane

RELEASED = 3.0
"""Seconds in which a Lease that was given away has its next holder, with a life of 10 seconds."""


def web(namespace: str) -> dict[str, Any]:
    return ingress("web", ("web.test", "/", "Prefix", "nobody"), namespace=namespace, ingressClassName=CLASS)


def addresses(control_plane: ControlPlane, namespace: str) -> list[dict[str, str]]:
    found = json.loads(control_plane.kubectl("get", "ingress", "web", "-n", namespace, "-o", "json"))
    listed: list[dict[str, str]] = found["status"].get("loadBalancer", {}).get("ingress", [])
    return listed


@pytest.fixture
def pod(control_plane: ControlPlane, tmp_path: Path) -> Iterator[str]:
    """A Ready pod of the controller on a node, as a kubelet would report them."""
    replica(control_plane, tmp_path / "rights")
    control_plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge-1"}})
    control_plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "headrace-n", "namespace": "headrace", "labels": {"app": "headrace"}},
            "spec": {
                "nodeName": "edge-1",
                "serviceAccountName": "headrace",
                "containers": [{"name": "c", "image": "i"}],
            },
        }
    )
    _set_status(control_plane, "node/edge-1", {"addresses": [{"type": "ExternalIP", "address": "192.0.2.30"}]})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    _set_status(control_plane, "pod/headrace-n", ready, "-n", "headrace")
    yield "headrace-n"
    control_plane.kubectl("delete", "pod/headrace-n", "-n", "headrace", "--force", "--grace-period=0")
    control_plane.kubectl("delete", "node/edge-1")


def _set_status(control_plane: ControlPlane, which: str, status: dict[str, Any], *more: str) -> None:
    patch = json.dumps({"status": status})
    control_plane.kubectl("patch", which, *more, "--subresource=status", "--type=merge", "-p", patch)


def test_the_address_of_the_node_is_written_and_cleared_at_the_end(
    control_plane: ControlPlane, namespace: str, pod: str, tmp_path: Path
) -> None:
    control_plane.apply(web(namespace))
    with replica(control_plane, tmp_path / "a", "--election-id", "nodes", name=pod) as headrace:
        took = headrace.until(lambda: addresses(control_plane, namespace) == [{"ip": "192.0.2.30"}], 5)
        print(f"status {took:.2f} s after start")
    assert addresses(control_plane, namespace) == []


def test_a_second_pod_keeps_the_status_at_the_end(
    control_plane: ControlPlane, namespace: str, pod: str, tmp_path: Path
) -> None:
    control_plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "headrace-m", "namespace": "headrace", "labels": {"app": "headrace"}},
            "spec": {
                "nodeName": "edge-1",
                "serviceAccountName": "headrace",
                "containers": [{"name": "c", "image": "i"}],
            },
        },
        web(namespace),
    )
    with replica(control_plane, tmp_path / "a", "--election-id", "two-pods", name=pod) as headrace:
        headrace.until(lambda: addresses(control_plane, namespace) == [{"ip": "192.0.2.30"}], 5)
    assert addresses(control_plane, namespace) == [{"ip": "192.0.2.30"}]
    control_plane.kubectl("delete", "pod/headrace-m", "-n", "headrace", "--force", "--grace-period=0")


def test_a_leader_that_ends_hands_over_at_once(control_plane: ControlPlane, tmp_path: Path) -> None:
    def holder() -> str:
        where = ("lease", "handover", "-n", "headrace", "-o", "jsonpath={.spec.holderIdentity}", "--ignore-not-found")
        return control_plane.kubectl("get", *where).strip()

    flags = ("--election-id", "handover", "--election-ttl", "10")
    first = replica(control_plane, tmp_path / "a", *flags, name="headrace-a")
    second = replica(control_plane, tmp_path / "b", *flags, name="headrace-b")
    with first:
        first.until(lambda: holder().startswith("headrace-a_"), 5)
        with second:
            first.stop()
            took = second.until(lambda: holder().startswith("headrace-b_"), RELEASED)
            print(f"handed over in {took:.2f} s")
            assert second.metric("headrace_leader") == 1
    assert holder() == ""


def test_a_changed_ingress_has_a_sync_event_and_the_first_list_has_none(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    def events() -> list[str]:
        found = json.loads(control_plane.kubectl("get", "events", "-n", namespace, "-o", "json"))["items"]
        return sorted(e["reason"] for e in found if e["involvedObject"]["name"] == "web")

    control_plane.apply(web(namespace))
    with replica(control_plane, tmp_path / "a", "--election-id", "sync") as headrace:
        headrace.until(lambda: events() == ["ServiceNotFound"], 5)
        control_plane.kubectl("annotate", "ingress", "web", "-n", namespace, "team=shop")
        headrace.until(lambda: events() == ["ServiceNotFound", "Sync"], 5)
