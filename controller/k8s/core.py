"""Service, Secret, ConfigMap, Namespace, Node and Pod of the core API group."""

from __future__ import annotations

import msgspec

from controller.k8s.ingress import LoadBalancerStatus
from controller.k8s.meta import ObjectMeta, Wire
from controller.model.secretbytes import SecretBytes


class ServicePort(Wire):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None


class ServiceSpec(Wire):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    external_name: str = ""
    external_ips: tuple[str, ...] = msgspec.field(name="externalIPs", default=())
    ports: tuple[ServicePort, ...] = ()


class ServiceStatus(Wire):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Wire):
    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Secret(Wire):
    """`data` is decoded from base64 already (or comes from `stringData` in manifests)."""

    metadata: ObjectMeta
    type: str = "Opaque"
    data: dict[str, SecretBytes] = {}


class ConfigMap(Wire):
    metadata: ObjectMeta
    data: dict[str, str] = {}


class Namespace(Wire):
    metadata: ObjectMeta


class NodeAddress(Wire):
    type: str
    address: str


class NodeStatus(Wire):
    addresses: tuple[NodeAddress, ...] = ()


class Node(Wire):
    metadata: ObjectMeta
    status: NodeStatus = NodeStatus()
