"""TCP and UDP services: the ConfigMaps of --tcp-services-configmap and --udp-services-configmap.

An entry is `port: namespace/service:port[:PROXY[:PROXY]]`; the first PROXY says that clients begin with a PROXY
protocol header, the second that the pods want one. Any namespace may be named: the ConfigMap is the operator's. An
entry that cannot be carried out costs its own port and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.k8s.core import Service, ServicePort
from controller.k8s.ingress import ServiceBackendPort
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.model.stream import StreamServer, StreamUpstream, Transport
from controller.translate.backends import external_refusal, find_port
from controller.translate.findings import Findings
from controller.translate.view import View

_NAME = "[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_ENTRY = re.compile(rf"({_NAME})/({_NAME}):([A-Za-z0-9-]{{1,63}})(?::(PROXY)?(?::(PROXY)?)?)?", re.IGNORECASE)
_HIGHEST = 65_535


class _Refused(Exception):
    """Why an entry is not served: code, message, hint."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


@dataclass(slots=True)
class StreamServices:
    """Reads both ConfigMaps; `upstreams` holds each upstream that is in use."""

    view: View
    options: Options
    findings: Findings
    upstreams: dict[str, StreamUpstream] = field(default_factory=dict)

    def servers(self) -> tuple[StreamServer, ...]:
        """In the order of their ports, TCP first."""
        options = self.options
        named = ((options.tcp_services_configmap, Transport.TCP), (options.udp_services_configmap, Transport.UDP))
        return tuple(server for key, transport in named if key for server in self._of(key, transport))

    def _of(self, key: ObjectKey, transport: Transport) -> list[StreamServer]:
        found = self.view.configmap(key)
        data: Mapping[str, str] = found.data if found else {}
        if data and not self.options.has_stream:
            self.findings.error(
                "stream-unavailable",
                key,
                FieldPath("data"),
                "nginx was built without the module stream, so none of these ports is served.",
                Effect.SETTING_IGNORED,
                "Use an nginx that was built with --with-stream and --with-stream_ssl_preread_module.",
            )
            return []
        servers = (self._server(key, transport, port, text) for port, text in data.items())
        return sorted((server for server in servers if server), key=lambda server: server.port)

    def _server(self, key: ObjectKey, transport: Transport, port: str, text: str) -> StreamServer | None:
        try:
            number = self._number(port)
            return self._entry(key, transport, number, text.strip())
        except _Refused as refused:
            self.findings.error(
                refused.code,
                key,
                FieldPath("data").key(port[:80]),
                f"{refused.message} The port is not served.",
                Effect.SETTING_IGNORED,
                refused.hint,
            )
            return None

    def _number(self, port: str) -> int:
        if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > _HIGHEST:
            raise _Refused("stream-entry-invalid", f"{port[:80]!r} is not a port from 1 to {_HIGHEST}.")
        reserved = dict(self.options.reserved_ports).get(int(port))
        if reserved:
            raise _Refused("stream-port-reserved", f"Port {port} is taken by the controller itself ({reserved}).")
        return int(port)

    def _entry(self, key: ObjectKey, transport: Transport, number: int, text: str) -> StreamServer:
        found = _ENTRY.fullmatch(text)
        if not found:
            shown = repr(text if len(text) <= 80 else text[:77] + "...")
            raise _Refused(
                "stream-entry-invalid", f"{shown} is not of the form namespace/service:port[:PROXY[:PROXY]]."
            )
        namespace, name, port, accepts, sends = found.groups()
        service = self.view.service(ObjectKey(Kind.SERVICE, namespace, name))
        if service is None:
            raise _Refused("service-not-found", f"There is no Service {namespace}/{name}.")
        upstream = self._upstream(service, port, transport)
        if transport is Transport.UDP and (accepts or sends):
            self.findings.warning(
                "stream-entry-invalid",
                key,
                FieldPath("data").key(str(number)),
                "There is no PROXY protocol for UDP; the port is served without.",
                Effect.SETTING_IGNORED,
            )
            accepts = sends = None
        self.upstreams[upstream.id] = upstream
        return StreamServer(number, transport, upstream.id, key, bool(accepts), bool(sends))

    def _upstream(self, service: Service, written: str, transport: Transport) -> StreamUpstream:
        wanted = ServiceBackendPort(number=int(written)) if written.isdigit() else ServiceBackendPort(name=written)
        meta, port = service.metadata, find_port(service, wanted, transport)
        external = service.spec.type == "ExternalName"
        if external:
            reason = external_refusal(service.spec.external_name, self.options)
            if reason:
                raise _Refused("external-name-refused", f"Service {meta.namespace}/{meta.name} {reason}.")
            port = port or (ServicePort(port=wanted.number) if 0 < wanted.number <= _HIGHEST else None)
        if port is None:
            has = ", ".join(f"{p.name or '-'}:{p.port}/{p.protocol}" for p in service.spec.ports) or "none"
            message = f"Service {meta.namespace}/{meta.name} has no {transport} port {written!r}."
            raise _Refused("port-not-found", message, f"Its ports are: {has}.")
        owner = ObjectKey(Kind.SERVICE, meta.namespace, meta.name)
        return stream_upstream(owner, port.name or str(port.port), transport, external=external)


def stream_upstream(service: ObjectKey, dns_port: str, transport: Transport, *, external: bool) -> StreamUpstream:
    """Named by what it leads to, so that ports and hosts that lead to the same share it."""
    identity = f"{service.namespace}.{service.name}.{dns_port}.{transport.lower()}"
    return StreamUpstream(identity, service, dns_port, transport, external)
