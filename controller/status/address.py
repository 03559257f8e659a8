"""Addresses that go into `status.loadBalancer` of an Ingress. Pure.

None means "not known now", and then the status stays as it is; an empty tuple means that there are none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from controller.k8s.core import Node, Pod, Service
from controller.k8s.ingress import LoadBalancerIngress

Addresses = tuple[LoadBalancerIngress, ...]

VOLATILE_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
    }
)
"""Labels that differ between the replicas of one controller, or between two versions of it."""

_ALIVE = frozenset({"Running", "Pending"})


@dataclass(frozen=True, slots=True)
class Replicas:
    """Pods of this controller, our own among them."""

    pods: tuple[Pod, ...]

    @property
    def nodes(self) -> frozenset[str]:
        """Nodes on which one of them serves."""
        return frozenset(pod.spec.node_name for pod in self.pods if pod.ready and pod.spec.node_name)

    def alone(self, own: str) -> bool:
        """Whether nobody will serve on when the pod named `own` has ended. Not so where it is not among them."""
        staying = {p.metadata.name for p in self.pods if not p.metadata.deletion_timestamp and p.status.phase in _ALIVE}
        return own in {pod.metadata.name for pod in self.pods} and not staying - {own}


def selector_of(labels: Mapping[str, str] | None) -> str:
    """The label selector of all replicas, from the labels of one. Empty where it has none of use."""
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()) if name not in VOLATILE_LABELS)


def given_addresses(addresses: Iterable[str]) -> Addresses:
    """Those of `--publish-status-address`."""
    return sorted_addresses(_entry(address) for address in addresses)


def service_addresses(service: Service) -> Addresses:
    """Those of the Service of `--publish-service`, by its type. Empty while a load balancer has none yet."""
    spec = service.spec
    match spec.type:
        case "ExternalName":
            return sorted_addresses([_entry(spec.external_name)])
        case "LoadBalancer":
            return sorted_addresses([*service.status.load_balancer.ingress, *map(_entry, spec.external_ips)])
        case "NodePort" if spec.external_ips:
            return sorted_addresses(map(_entry, spec.external_ips))
    return sorted_addresses([_entry(spec.cluster_ip)] if spec.cluster_ip not in ("", "None") else [])


def node_addresses(nodes: Iterable[Node], names: Collection[str], *, internal: bool) -> Addresses:
    """Those of the named nodes: external ones, or internal ones where a node has no other or `internal` asks for it."""
    chosen = (node for node in nodes if node.metadata.name in names)
    return sorted_addresses(_entry(address) for node in chosen for address in _of_node(node, internal))


def sorted_addresses(addresses: Iterable[LoadBalancerIngress]) -> Addresses:
    """Sorted, each once, the empty ones left out."""
    given = {(a.ip, a.hostname) for a in addresses if a.ip or a.hostname}
    return tuple(LoadBalancerIngress(ip, hostname) for ip, hostname in sorted(given))


def _of_node(node: Node, internal: bool) -> list[str]:
    by_type: dict[str, list[str]] = {}
    for address in node.status.addresses:
        by_type.setdefault(address.type, []).append(address.address)
    external = [] if internal else by_type.get("ExternalIP", [])
    return external or by_type.get("InternalIP", [])


def _entry(address: str) -> LoadBalancerIngress:
    try:
        return LoadBalancerIngress(ip=str(ip_address(address.strip())))
    except ValueError:
        return LoadBalancerIngress(hostname=address.strip())
