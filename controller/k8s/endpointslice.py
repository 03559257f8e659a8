"""EndpointSlice of discovery.k8s.io/v1."""

from __future__ import annotations

from controller.k8s.meta import ObjectMeta, Wire

SERVICE_LABEL = "kubernetes.io/service-name"
"""The label that ties a slice to its Service."""


class EndpointConditions(Wire, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(Wire, frozen=True):
    name: str


class EndpointHints(Wire, frozen=True):
    for_zones: tuple[ForZone, ...] = ()


class Endpoint(Wire, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Wire, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointSlice(Wire, frozen=True):
    metadata: ObjectMeta
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()

    @property
    def service_name(self) -> str:
        return (self.metadata.labels or {}).get(SERVICE_LABEL, "")
