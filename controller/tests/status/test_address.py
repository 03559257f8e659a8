"""Which addresses an Ingress gets, by what is published."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.k8s.core import Node, Pod, Service
from controller.status.address import (
    Replicas,
    given_addresses,
    node_addresses,
    selector_of,
    service_addresses,
)


def shown(addresses: Any) -> list[str]:
    return ["+".join(filter(None, (a.ip, a.hostname))) for a in addresses]


def service(kind: str, balancer: list[dict[str, str]] | None = None, **spec: Any) -> Service:
    wire = {
        "metadata": {"name": "ingress", "namespace": "headrace"},
        "spec": {"type": kind, **spec},
        "status": {"loadBalancer": {"ingress": balancer or []}},
    }
    return msgspec.convert(wire, Service)


def node(name: str, **addresses: str) -> Node:
    found = [{"type": kind, "address": address} for kind, address in addresses.items()]
    return msgspec.convert({"metadata": {"name": name}, "status": {"addresses": found}}, Node)


def pod(name: str, on: str = "n1", phase: str = "Running", ready: bool = True, going: bool = False) -> Pod:
    wire = {
        "metadata": {"name": name, "deletionTimestamp": "2026-01-01T00:00:00Z" if going else None},
        "spec": {"nodeName": on},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }
    return msgspec.convert(wire, Pod)


def test_given_addresses_are_sorted_and_told_once() -> None:
    given = given_addresses(["lb.example.com", "192.0.2.9", "192.0.2.10", "192.0.2.9", "2001:DB8::1"])
    assert shown(given) == ["lb.example.com", "192.0.2.10", "192.0.2.9", "2001:db8::1"]
    assert [a.hostname for a in given] == ["lb.example.com", "", "", ""]


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (service("ExternalName", externalName="lb.example.com"), ["lb.example.com"]),
        (service("ClusterIP", clusterIP="10.0.0.1"), ["10.0.0.1"]),
        (service("ClusterIP", clusterIP="None"), []),
        (service("NodePort", clusterIP="10.0.0.1"), ["10.0.0.1"]),
        (service("NodePort", clusterIP="10.0.0.1", externalIPs=["192.0.2.2", "192.0.2.1"]), ["192.0.2.1", "192.0.2.2"]),
        (service("LoadBalancer", clusterIP="10.0.0.1"), []),
        (service("LoadBalancer", [{"ip": "192.0.2.5"}, {"hostname": "elb"}]), ["elb", "192.0.2.5"]),
        (service("LoadBalancer", [{"ip": "192.0.2.5"}], externalIPs=["192.0.2.5", "192.0.2.6"]),
         ["192.0.2.5", "192.0.2.6"]),
    ],
)  # fmt: skip
def test_a_service_by_its_type(published: Service, expected: list[str]) -> None:
    assert shown(service_addresses(published)) == expected


@pytest.mark.parametrize(
    ("internal", "expected"),
    [(False, ["10.1.0.2", "192.0.2.1"]), (True, ["10.1.0.1", "10.1.0.2"])],
)
def test_nodes_by_external_address_else_internal(internal: bool, expected: list[str]) -> None:
    nodes = [
        node("n2", InternalIP="10.1.0.2", Hostname="n2"),
        node("n1", ExternalIP="192.0.2.1", InternalIP="10.1.0.1"),
        node("n3", ExternalIP="192.0.2.3"),
    ]
    assert shown(node_addresses(nodes, {"n1", "n2"}, internal=internal)) == expected


def test_only_nodes_of_pods_that_serve() -> None:
    replicas = Replicas(
        (
            pod("serves", "n1"),
            pod("starts", "n2", phase="Pending", ready=False),
            pod("sick", "n3", ready=False),
            pod("ends", "n4", going=True),
        )
    )
    assert replicas.nodes == {"n1"}


def test_who_serves_on_after_us() -> None:
    pods = (pod("us"), pod("done", phase="Succeeded"), pod("ends", going=True))
    assert Replicas(pods).alone("us")
    assert Replicas((pod("us", going=True),)).alone("us")
    assert not Replicas((*pods, pod("new", phase="Pending"))).alone("us")
    assert not Replicas(pods).alone("somebody")


def test_replicas_are_found_by_the_labels_that_they_share() -> None:
    labels = {"app": "headrace", "pod-template-hash": "7d4", "tier": "edge", "apps.kubernetes.io/pod-index": "0"}
    assert selector_of(labels) == "app=headrace,tier=edge"
    assert selector_of(None) == ""
