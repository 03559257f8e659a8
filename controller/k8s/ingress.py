"""Ingress and IngressClass of networking.k8s.io/v1."""

from __future__ import annotations

from controller.k8s.meta import ObjectMeta, Wire


class ServiceBackendPort(Wire):
    name: str = ""
    number: int = 0

    def __str__(self) -> str:
        return self.name or str(self.number)


class ServiceBackend(Wire):
    name: str
    port: ServiceBackendPort = ServiceBackendPort()


class ResourceBackend(Wire):
    kind: str = ""
    name: str = ""
    api_group: str | None = None


class Backend(Wire):
    service: ServiceBackend | None = None
    resource: ResourceBackend | None = None


class HTTPPath(Wire):
    backend: Backend
    path: str = ""
    path_type: str = ""


class HTTPRule(Wire):
    paths: tuple[HTTPPath, ...] = ()


class Rule(Wire):
    host: str = ""
    http: HTTPRule | None = None


class TLS(Wire):
    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(Wire):
    ingress_class_name: str | None = None
    default_backend: Backend | None = None
    rules: tuple[Rule, ...] = ()
    tls: tuple[TLS, ...] = ()


class PortStatus(Wire):
    port: int = 0
    protocol: str = "TCP"


class LoadBalancerIngress(Wire, omit_defaults=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancerStatus(Wire):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class IngressStatus(Wire):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Ingress(Wire):
    metadata: ObjectMeta
    spec: IngressSpec = IngressSpec()
    status: IngressStatus = IngressStatus()


class IngressClassSpec(Wire):
    controller: str = ""


class IngressClass(Wire):
    metadata: ObjectMeta
    spec: IngressClassSpec = IngressClassSpec()
