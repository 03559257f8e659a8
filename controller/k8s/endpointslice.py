"""EndpointSlice of discovery.k8s.io/v1."""

from __future__ import annotations

import msgspec

from controller.k8s.meta import Wire

SERVICE_LABEL = "kubernetes.io/service-name"
"""The label that ties a slice to its Service."""


class SliceLabels(Wire, frozen=True):
    service_name: str = msgspec.field(name=SERVICE_LABEL, default="")


class SliceMeta(Wire, frozen=True):
    """What is read of a slice's metadata: there are more slices than anything else, and most of theirs is of no use."""

    name: str
    namespace: str = ""
    resource_version: str = ""
    labels: SliceLabels = SliceLabels()


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
    metadata: SliceMeta
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()

    @property
    def service_name(self) -> str:
        return self.metadata.labels.service_name
