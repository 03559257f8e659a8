"""The part of the flags that the pure stages read: which objects count, and names of global objects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.model.refs import ObjectKey


class HostOwnership(StrEnum):
    """Who may use a host: everyone; the namespace that had it first; those whose Namespace object declares it."""

    OFF = "off"
    FIRST_COME = "first-come"
    DECLARED = "declared"


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of the operator; names are those of the flags (`headrace run --help`)."""

    ingress_class: str = "nginx"
    controller_class: str = "headrace.dev/ingress"
    ingress_class_by_name: bool = False
    watch_ingress_without_class: bool = False
    manifests: bool = False
    watch_namespace: str = ""
    watch_namespace_selector: str = ""
    annotations_prefix: str = "nginx.ingress.kubernetes.io"
    disable_catch_all: bool = False
    disable_svc_external_name: bool = False
    configmap: ObjectKey | None = None
    default_backend_service: ObjectKey | None = None
    default_ssl_certificate: ObjectKey | None = None
    health_check_path: str = "/healthz"
    allow_local_external_names: bool = False
    """Whether names that users choose may lead to loopback and link-local addresses."""
    allow_cross_namespace_canaries: bool = False
    """Whether a canary may share the requests of an Ingress of another namespace."""
    allowed_secret_namespaces: tuple[str, ...] = ()
    """Namespaces whose Secrets and ConfigMaps annotations of every namespace may name."""
    host_ownership: HostOwnership = HostOwnership.OFF
    tcp_services_configmap: ObjectKey | None = None
    udp_services_configmap: ObjectKey | None = None
    enable_ssl_passthrough: bool = False
    has_stream: bool = True
    """Whether nginx has the modules stream and stream_ssl_preread."""
    reserved_ports: tuple[tuple[int, str], ...] = ()
    """Ports that TCP and UDP services may not have, each with what it is for."""
    replicas: int = 1
    """Ready controllers behind the Service of --publish-service, as far as they are known; 1 or more."""
