"""A frozen view of the store: the only input of a build besides the options."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.k8s.core import ConfigMap, Namespace, Secret, Service
from controller.k8s.ingress import Ingress, IngressClass
from controller.model.diagnostics import Diagnostic
from controller.model.refs import Kind, ObjectKey


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Objects by key. EndpointSlices are not here: endpoints never change the configuration.

    `findings` holds what decoding said about objects: refusals, and warnings about legacy versions.
    `unreadable` are kinds that the API server does not let us list.
    """

    ingresses: dict[ObjectKey, Ingress] = field(default_factory=dict)
    classes: dict[ObjectKey, IngressClass] = field(default_factory=dict)
    services: dict[ObjectKey, Service] = field(default_factory=dict)
    secrets: dict[ObjectKey, Secret] = field(default_factory=dict)
    configmaps: dict[ObjectKey, ConfigMap] = field(default_factory=dict)
    namespaces: dict[ObjectKey, Namespace] = field(default_factory=dict)
    findings: dict[ObjectKey, tuple[Diagnostic, ...]] = field(default_factory=dict)
    unreadable: frozenset[Kind] = frozenset()

    def service(self, namespace: str, name: str) -> Service | None:
        return self.services.get(ObjectKey(Kind.SERVICE, namespace, name))

    def secret(self, namespace: str, name: str) -> Secret | None:
        return self.secrets.get(ObjectKey(Kind.SECRET, namespace, name))
