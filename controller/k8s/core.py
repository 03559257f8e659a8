"""Service, Secret, ConfigMap, Namespace, Node and Pod of the core API group."""

from __future__ import annotations

import msgspec

from controller.k8s.ingress import LoadBalancerStatus
from controller.k8s.meta import ObjectMeta, Wire
from controller.model.secretbytes import SecretBytes


class ServicePort(Wire, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None


class ServiceSpec(Wire, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    external_name: str = ""
    external_ips: tuple[str, ...] = msgspec.field(name="externalIPs", default=())
    ports: tuple[ServicePort, ...] = ()


class ServiceStatus(Wire, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Wire, frozen=True):
    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Secret(Wire, frozen=True):
    """`data` is decoded from base64 already (or comes from `stringData` in manifests)."""

    metadata: ObjectMeta
    type: str = "Opaque"
    data: dict[str, SecretBytes] = {}


class ConfigMap(Wire, frozen=True):
    metadata: ObjectMeta
    data: dict[str, str] = {}


class Namespace(Wire, frozen=True):
    metadata: ObjectMeta


class NodeAddress(Wire, frozen=True):
    type: str
    address: str


class NodeStatus(Wire, frozen=True):
    addresses: tuple[NodeAddress, ...] = ()


class Node(Wire, frozen=True):
    metadata: ObjectMeta
    status: NodeStatus = NodeStatus()


class PodCondition(Wire, frozen=True):
    type: str
    status: str = ""


class PodSpec(Wire, frozen=True):
    node_name: str = ""


class PodStatus(Wire, frozen=True):
    phase: str = ""
    conditions: tuple[PodCondition, ...] = ()


class Pod(Wire, frozen=True):
    """Only what tells on which nodes the controller runs."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """Running, Ready and not on its way out."""
        return (
            self.status.phase == "Running"
            and self.metadata.deletion_timestamp is None
            and any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)
        )
