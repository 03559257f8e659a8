"""Ingress and IngressClass of networking.k8s.io/v1."""

from __future__ import annotations

from controller.k8s.meta import ObjectMeta, Wire


class ServiceBackendPort(Wire, frozen=True):
    name: str = ""
    number: int = 0

    def __str__(self) -> str:
        return self.name or str(self.number)


class ServiceBackend(Wire, frozen=True):
    name: str
    port: ServiceBackendPort = ServiceBackendPort()


class ResourceBackend(Wire, frozen=True):
    kind: str = ""
    name: str = ""
    api_group: str | None = None


class Backend(Wire, frozen=True):
    service: ServiceBackend | None = None
    resource: ResourceBackend | None = None


class HTTPPath(Wire, frozen=True):
    backend: Backend
    path: str = ""
    path_type: str = ""


class HTTPRule(Wire, frozen=True):
    paths: tuple[HTTPPath, ...] = ()


class Rule(Wire, frozen=True):
    host: str = ""
    http: HTTPRule | None = None


class TLS(Wire, frozen=True):
    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(Wire, frozen=True):
    ingress_class_name: str | None = None
    default_backend: Backend | None = None
    rules: tuple[Rule, ...] = ()
    tls: tuple[TLS, ...] = ()


class PortStatus(Wire, frozen=True):
    port: int = 0
    protocol: str = "TCP"


class LoadBalancerIngress(Wire, frozen=True, omit_defaults=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancerStatus(Wire, frozen=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class IngressStatus(Wire, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Ingress(Wire, frozen=True):
    metadata: ObjectMeta
    spec: IngressSpec = IngressSpec()
    status: IngressStatus = IngressStatus()


class IngressClassSpec(Wire, frozen=True):
    controller: str = ""


class IngressClass(Wire, frozen=True):
    metadata: ObjectMeta
    spec: IngressClassSpec = IngressClassSpec()
