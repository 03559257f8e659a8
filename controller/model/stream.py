"""What nginx does below HTTP: TCP and UDP services, and TLS that is passed through to the pods.

As in HTTP there are no pod addresses here: a StreamUpstream names a Service port, and nginx asks our DNS for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from controller.model.refs import ObjectKey


class Transport(StrEnum):
    """As Kubernetes spells the protocol of a Service port."""

    TCP = "TCP"
    UDP = "UDP"


@dataclass(frozen=True, slots=True)
class StreamUpstream:
    """The pods behind one port of one Service. `dns_port`: as in `Upstream`. `external`: an ExternalName Service."""

    id: str
    service: ObjectKey
    dns_port: str
    transport: Transport = Transport.TCP
    external: bool = False

    @property
    def dns_name(self) -> str:
        """Under `.stream` our DNS says "nobody there" for an empty Service, where `.svc` leads to the HTTP 503."""
        return f"{self.service.name}.{self.service.namespace}.stream"

    @property
    def dns_service(self) -> str:
        """With the protocol: nginx takes a name without a dot for one of TCP."""
        return f"_{self.dns_port}._{self.transport.lower()}"


@dataclass(frozen=True, slots=True)
class StreamServer:
    """One port of a TCP or UDP services ConfigMap.

    `accepts_proxy`: clients begin with a PROXY protocol header. `sends_proxy`: so do we towards the pods.
    """

    port: int
    transport: Transport
    upstream: str
    origin: ObjectKey
    accepts_proxy: bool = False
    sends_proxy: bool = False


@dataclass(frozen=True, slots=True)
class Passthrough:
    """TLS connections for exactly this name go to the upstream as they are.

    `allowed`, `denied`: networks of clients, as in `AccessLists`; who is refused is hung up on.
    """

    host: str
    upstream: str
    origins: tuple[ObjectKey, ...] = ()
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Streams:
    """`preread`: the HTTPS port looks at the name of the handshake first, even where no host is passed through yet."""

    servers: tuple[StreamServer, ...] = ()
    passthrough: tuple[Passthrough, ...] = ()
    upstreams: dict[str, StreamUpstream] = field(default_factory=dict)
    preread: bool = False

    def __bool__(self) -> bool:
        return bool(self.servers) or self.preread
