"""Backends of paths: a Service and a port become an upstream, or the reason why the path answers 503.

Port rules (routing, "Services and ports"): a number matches a Service port's number or the text of its targetPort, a
name matches its name or the name of its targetPort; the first entry of the Service's list that matches wins.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.k8s.core import Service, ServicePort
from controller.k8s.ingress import Backend, ServiceBackendPort
from controller.model.configuration import Action, Idle, ProxyPass, Return, ServicePortRef, Upstream
from controller.model.diagnostics import Effect
from controller.model.features.balancing import IN_TURN, Balancing, Sticks
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.translate.findings import Findings
from controller.translate.view import View

UNAVAILABLE = Return(503)


class Dialect(NamedTuple):
    """How pods are chosen and spoken to, as far as an upstream cannot be shared (`controller.translate.dialects`).

    `suffix`: of the upstream's id, empty for plain HTTP in turn. `keeps`: whether connections may be used again.
    `idle`: how many, where that is not as for all. `through_service`: the Service's own address is asked, so that
    somebody else chooses. The rest: as in `Upstream`.
    """

    suffix: str = ""
    keeps: bool = True
    idle: Idle | None = None
    balancing: Balancing = IN_TURN
    through_service: bool = False
    sticks: Sticks | None = None
    otherwise: ServicePortRef | None = None

    def tagged(self, *tags: str) -> str:
        """The suffix with more to it."""
        return ".".join(tag for tag in (self.suffix, *tags) if tag)


PLAIN = Dialect()
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.IGNORECASE)
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """What a backend came to. `service` and `port` are as written, for logs."""

    action: Action
    service: str = ""
    port: str = ""


@dataclass(slots=True)
class Upstreams:
    """Finds the upstream of a backend and remembers each one that is in use."""

    view: View
    options: Options
    findings: Findings
    used: dict[str, Upstream] = field(default_factory=dict)

    def target_of(
        self, backend: Backend, namespace: str, owner: ObjectKey, where: FieldPath, dialect: Dialect = PLAIN
    ) -> Target | None:
        """None where the path must not be created: the backend is no Service. `where` is the field of the backend."""
        if backend.service is None:
            self.findings.error(
                "backend-unsupported",
                owner,
                where,
                "The backend is a resource, and only Services can be backends."
                if backend.resource
                else "The backend names neither a Service nor a resource.",
                Effect.PATH_UNSERVED,
            )
            return None
        name, port = backend.service.name, backend.service.port
        service = self.view.service(ObjectKey(Kind.SERVICE, namespace, name))
        where = where.child("service")
        if service is None:
            self.findings.error(
                "service-not-found",
                owner,
                where.child("name"),
                f"There is no Service {namespace}/{name}.",
                Effect.PATH_UNSERVED,
                related=(ObjectKey(Kind.SERVICE, namespace, name),),
            )
            return Target(UNAVAILABLE, name, str(port))
        return Target(self._action(service, port, owner, where, dialect), name, str(port))

    def exists(self, namespace: str, name: str) -> bool:
        """Whether there is such a Service."""
        return self.view.service(ObjectKey(Kind.SERVICE, namespace, name)) is not None

    def first_port(self, key: ObjectKey) -> Target | None:
        """The first port of a Service, as `--default-backend-service` wants it; None where there is none."""
        service = self.view.service(key)
        port = next(filter(_usable, service.spec.ports), None) if service else None
        if service is None or port is None:
            return None
        return Target(self.use(service, port, port.name or str(port.port)), key.name, port.name or str(port.port))

    def _action(
        self, service: Service, port: ServiceBackendPort, owner: ObjectKey, where: FieldPath, dialect: Dialect
    ) -> Action:
        if service.spec.type == "ExternalName":
            return self._external(service, port, owner, where, dialect)
        found = find_port(service, port)
        if found and dialect.through_service and not _address_of(service):
            self._tell_headless(service, owner, where)
        return self.use(service, found, str(port), dialect) if found else self._no_port(service, port, owner, where)

    def _tell_headless(self, service: Service, owner: ObjectKey, where: FieldPath) -> None:
        self.findings.warning(
            "annotation-ignored",
            owner,
            where.child("name"),
            f"service-upstream has no effect: Service {service.metadata.namespace}/{service.metadata.name} has no "
            "address of its own, so requests go straight to its pods.",
            Effect.SETTING_IGNORED,
        )

    def _no_port(self, service: Service, port: ServiceBackendPort, owner: ObjectKey, where: FieldPath) -> Action:
        has = ", ".join(f"{p.name or '-'}:{p.port}" for p in service.spec.ports) or "none"
        self.findings.error(
            "port-not-found",
            owner,
            where.child("port"),
            f"Service {service.metadata.namespace}/{service.metadata.name} has no port {str(port)!r}.",
            Effect.PATH_UNSERVED,
            hint=f"Its ports are: {has}.",
        )
        return UNAVAILABLE

    def _external(
        self, service: Service, port: ServiceBackendPort, owner: ObjectKey, where: FieldPath, dialect: Dialect
    ) -> Action:
        reason = external_refusal(service.spec.external_name, self.options)
        if reason:
            self.findings.error(
                "external-name-refused",
                owner,
                where.child("name"),
                f"Service {service.metadata.namespace}/{service.metadata.name} is of type ExternalName and {reason}.",
                Effect.PATH_UNSERVED,
            )
            return UNAVAILABLE
        found = find_port(service, port) or (ServicePort(port=port.number) if port.number else None)
        if found is None:
            return self._no_port(service, port, owner, where)
        return self.use(service, found, str(port), dialect, external=True)

    def use(
        self, service: Service, port: ServicePort, written: str, dialect: Dialect = PLAIN, *, external: bool = False
    ) -> ProxyPass:
        """The upstream of a port of a Service; `written`: the port as the user wrote it."""
        meta = service.metadata
        identity = f"{meta.namespace}.{meta.name}.{written}" + (f".{dialect.suffix}" if dialect.suffix else "")
        if identity not in self.used:
            key = ObjectKey(Kind.SERVICE, meta.namespace, meta.name)
            address = _address_of(service) if dialect.through_service and not external else ""
            self.used[identity] = Upstream(
                identity,
                key,
                port.name or str(port.port),
                external,
                dialect.keeps,
                idle=dialect.idle,
                balancing=dialect.balancing,
                sticks=dialect.sticks,
                place=f"{address}:{port.port}" if address else "",
                otherwise=dialect.otherwise,
            )
        return ProxyPass(identity, external)


def find_port(service: Service, wanted: ServiceBackendPort, protocol: str = "TCP") -> ServicePort | None:
    """The first port of the Service with that protocol that the backend can mean.

    A port's name becomes a name in the DNS, so what the Kubernetes API would not take for one (files may) is none.
    """
    if wanted.name and not _PORT_NAME.fullmatch(wanted.name):
        return None
    for port in (port for port in service.spec.ports if _usable(port, protocol)):
        target = "" if port.target_port is None else str(port.target_port)
        if wanted.name and wanted.name in (port.name, target):
            return port
        if wanted.number and (wanted.number == port.port or str(wanted.number) == target):
            return port
        if wanted.name.isdigit() and int(wanted.name) == port.port:
            return port
    return None


def _address_of(service: Service) -> str:
    """The Service's own address as nginx writes it; empty where it has none."""
    try:
        address = ipaddress.ip_address(service.spec.cluster_ip)
    except ValueError:
        return ""
    return f"[{address}]" if address.version == 6 else str(address)


def _usable(port: ServicePort, protocol: str = "TCP") -> bool:
    return port.protocol == protocol and (not port.name or bool(_PORT_NAME.fullmatch(port.name)))


def external_refusal(name: str, options: Options) -> str:
    """Why this ExternalName must not be reached, or nothing."""
    if options.disable_svc_external_name:
        return "such Services are disabled (--disable-svc-external-name)"
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        if name.rstrip(".").lower() == "localhost" or name.lower().rstrip(".").endswith(".localhost"):
            return "points to localhost"
        return "" if _DNS_SUBDOMAIN.fullmatch(name) else "its externalName is not a DNS name"
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        return f"points to {address}, an address that routes must not reach"
    return ""
