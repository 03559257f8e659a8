"""The main job against a real API server: objects by kubectl in, right answers out, in time and without reloads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, ingress, key_pair, service, tls_secret
from e2e.apiserver.replica import CLASS, replica
from e2e.controlplane.backends import Backend, Backends
from e2e.controlplane.cluster import ControlPlane

IN_TIME = 1.5
"""Seconds from the API server's answer to the right response."""

QUIET = 2.0
"""Seconds without a reload after which none is under way."""


def slice_for(name: str, namespace: str, *backends: Backend) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [b.address], "conditions": {"ready": True}} for b in backends],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def shop(namespace: str, *backends: Backend, host: str = "shop.test", **spec: Any) -> list[Object]:
    """An Ingress, its Service and its endpoints."""
    return [
        ingress("shop", (host, "/", "Prefix", "shop"), namespace=namespace, ingressClassName=CLASS, **spec),
        service("shop", namespace),
        slice_for("shop", namespace, *backends),
    ]


def answers(headrace: Headrace, url: str) -> str | int:
    """The name of the backend that answers, or the status."""
    answer = headrace.get(url)
    return str(json.loads(answer.body)["name"]) if answer.body.startswith(b"{") else answer.status


@pytest.fixture(scope="module")
def headrace(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    directory = tmp_path_factory.mktemp("replica")
    with replica(control_plane, directory, "--publish-status-address", "192.0.2.7,lb.example.com") as running:
        yield running


def reloads(headrace: Headrace) -> float:
    return headrace.metric("headrace_reloads_total")


def settled_reloads(headrace: Headrace) -> float:
    """Reloads so far, once what came before has come to its end: traffic is right before a reload is counted."""
    known, since = reloads(headrace), time.monotonic()
    while time.monotonic() < since + QUIET:
        time.sleep(0.1)
        if (now := reloads(headrace)) != known:
            known, since = now, time.monotonic()
    return known


def test_an_ingress_applied_with_kubectl_is_served_in_time(
    headrace: Headrace, control_plane: ControlPlane, namespace: str, backends: Backends
) -> None:
    control_plane.apply(*shop(namespace, backends.start("pod-1"), host="applied.test"))
    took = headrace.until(lambda: answers(headrace, "http://applied.test/") == "pod-1", IN_TIME)
    print(f"ingress to traffic: {took:.2f} s")
    control_plane.kubectl("delete", "ingress", "shop", "-n", namespace)
    headrace.until(lambda: answers(headrace, "http://applied.test/") == 404, 3)


def test_endpoint_changes_reach_traffic_in_time_and_without_reload(
    headrace: Headrace, control_plane: ControlPlane, namespace: str, backends: Backends
) -> None:
    pods = [backends.start(f"pod-{number}") for number in range(2)]
    control_plane.apply(*shop(namespace, pods[0], host="flip.test"))
    headrace.until(lambda: answers(headrace, "http://flip.test/") == "pod-0")
    before, times = settled_reloads(headrace), []
    for trial in range(1, 21):
        pod = pods[trial % 2]
        control_plane.apply(slice_for("shop", namespace, pod))
        times.append(headrace.until(lambda: answers(headrace, "http://flip.test/") == pod.name, IN_TIME))  # noqa: B023
        # From here on the old pod must not answer again.
        assert {answers(headrace, "http://flip.test/") for _ in range(10)} == {pod.name}
    print(f"endpoint change to traffic: median {sorted(times)[10]:.2f} s, worst {max(times):.2f} s of {len(times)}")
    assert reloads(headrace) == before


def test_a_service_without_endpoints_answers_503_and_comes_back(
    headrace: Headrace, control_plane: ControlPlane, namespace: str, backends: Backends
) -> None:
    pod = backends.start("pod")
    control_plane.apply(*shop(namespace, pod, host="empty.test"))
    headrace.until(lambda: answers(headrace, "http://empty.test/") == "pod")
    before = settled_reloads(headrace)
    control_plane.apply(slice_for("shop", namespace))
    headrace.until(lambda: answers(headrace, "http://empty.test/") == 503, IN_TIME)
    control_plane.apply(slice_for("shop", namespace, pod))
    headrace.until(lambda: answers(headrace, "http://empty.test/") == "pod", IN_TIME)
    assert reloads(headrace) == before


def test_a_rotated_secret_is_served_without_reload(
    headrace: Headrace, control_plane: ControlPlane, namespace: str, backends: Backends
) -> None:
    tls = [{"hosts": ["tls.test"], "secretName": "pair"}]
    control_plane.apply(tls_secret("pair", key_pair("tls.test"), namespace))
    control_plane.apply(*shop(namespace, backends.start("pod"), host="tls.test", tls=tls))
    headrace.until(lambda: answers(headrace, "https://tls.test/") == "pod")
    headrace.until(lambda: b"tls.test" in headrace.certificate("tls.test"))
    old, before = headrace.certificate("tls.test"), settled_reloads(headrace)
    control_plane.apply(tls_secret("pair", key_pair("tls.test", kind="rsa"), namespace))
    took = headrace.until(lambda: headrace.certificate("tls.test") != old, 5)
    print(f"rotated secret to handshake: {took:.2f} s")
    assert reloads(headrace) == before


def test_findings_are_events_and_the_status_holds_the_addresses(
    headrace: Headrace, control_plane: ControlPlane, namespace: str, backends: Backends
) -> None:
    control_plane.apply(*shop(namespace, backends.start("pod"), host="status.test"))
    control_plane.apply(
        ingress("typo", ("typo.test", "/", "Prefix", "nobody"), namespace=namespace, ingressClassName=CLASS)
    )

    def events() -> list[Any]:
        found = json.loads(control_plane.kubectl("get", "events", "-n", namespace, "-o", "json"))["items"]
        return [e for e in found if e["involvedObject"]["name"] == "typo" and e["type"] == "Warning"]

    headrace.until(events, 10, "no event")
    event = events()[0]
    assert event["reason"] == "ServiceNotFound"
    assert "nobody" in event["message"]
    assert "spec.rules[0].http.paths[0]" in event["message"]

    def status() -> Any:
        found = json.loads(control_plane.kubectl("get", "ingress", "shop", "-n", namespace, "-o", "json"))
        return found["status"].get("loadBalancer", {}).get("ingress", [])

    headrace.until(status, 10, "no status")
    assert sorted(map(json.dumps, status())) == ['{"hostname": "lb.example.com"}', '{"ip": "192.0.2.7"}']


def test_other_classes_are_left_alone(
    headrace: Headrace, control_plane: ControlPlane, namespace: str, backends: Backends
) -> None:
    foreign = ingress("foreign", ("foreign.test", "/", "Prefix", "shop"), namespace=namespace, ingressClassName="other")
    control_plane.apply(*shop(namespace, backends.start("pod"), host="ours.test"), foreign)
    headrace.until(lambda: answers(headrace, "http://ours.test/") == "pod")
    assert answers(headrace, "http://foreign.test/") == 404
    control_plane.kubectl(
        "patch", "ingress", "foreign", "-n", namespace, "--type=merge", "-p",
        json.dumps({"spec": {"ingressClassName": CLASS}}),
    )  # fmt: skip
    headrace.until(lambda: answers(headrace, "http://foreign.test/") == "pod", IN_TIME)


def test_the_api_server_restarts_and_changes_arrive_again(
    headrace: Headrace, control_plane: ControlPlane, namespace: str, backends: Backends, outage_seconds: float
) -> None:
    pods = [backends.start(f"pod-{number}") for number in range(2)]
    control_plane.apply(*shop(namespace, pods[0], host="outage.test"))
    headrace.until(lambda: answers(headrace, "http://outage.test/") == "pod-0")
    control_plane.stop_apiserver()
    end, asked = time.monotonic() + outage_seconds, 0
    while time.monotonic() < end:
        assert answers(headrace, "http://outage.test/") == "pod-0"
        asked += 1
        time.sleep(0.05)
    control_plane.start_apiserver()
    control_plane.apply(slice_for("shop", namespace, pods[1]))
    took = headrace.until(lambda: answers(headrace, "http://outage.test/") == "pod-1", 45)
    print(f"{asked} requests in an outage of {outage_seconds:.0f} s, all served; changes arrive {took:.1f} s after it")


def test_two_replicas_share_one_lease_and_a_crashed_leader_is_replaced(
    control_plane: ControlPlane, namespace: str, backends: Backends, tmp_path: Path
) -> None:
    def holder() -> str:
        lease = control_plane.kubectl(
            "get", "lease", "shared", "-n", "headrace", "-o", "jsonpath={.spec.holderIdentity}", "--ignore-not-found"
        )
        return lease.strip()

    flags = ("--election-id", "shared", "--election-ttl", "5", "--publish-status-address", "192.0.2.9")
    first = replica(control_plane, tmp_path / "a", *flags, name="headrace-a")
    second = replica(control_plane, tmp_path / "b", *flags, name="headrace-b")
    with first, second:
        first.until(lambda: holder().startswith(("headrace-a", "headrace-b")), 10)
        leader, other, rest = (
            (first, second, "headrace-b") if holder().startswith("headrace-a") else (second, first, "headrace-a")
        )
        control_plane.apply(*shop(namespace, backends.start("pod"), host="two.test"))
        for each in (first, second):
            each.until(lambda: answers(each, "http://two.test/") == "pod")  # noqa: B023
        leader.stop(kill=True)
        other.until(lambda: holder().startswith(rest), 15, "the Lease stays with the dead")
        assert answers(leader, "http://two.test/") == "pod", "nginx of the dead leader serves on"


@pytest.fixture(scope="session")
def outage_seconds() -> float:
    """How long the API server is away; 300 is what a release is tried with."""
    return float(os.environ.get("HEADRACE_OUTAGE_SECONDS", "20"))
