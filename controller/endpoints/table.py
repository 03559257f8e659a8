"""From a Service and its EndpointSlices to addresses per Service port; pure.

The rules (docs/routing.md, "Services and ports"; Kubernetes, "EndpointSlices"):

- `ready` unset means ready; pods that terminate but still serve count only where nothing of that port is ready;
- all slices of a Service are merged and duplicates removed, so it does not matter how Kubernetes splits them;
- a slice's port is found by the Service port's name, so named ports may differ between pods (several slices);
- addresses that no route may reach (loopback, link-local, multicast, unspecified) are dropped.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from controller.k8s.core import Service, ServicePort
from controller.k8s.endpointslice import Endpoint, EndpointPort, EndpointSlice

TCP = "TCP"
UDP = "UDP"
_OF_UDP = "/UDP"
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class State(IntEnum):
    """How fit an endpoint is, best first. `SERVING` and `DRAINING` take traffic only where nothing is `READY`."""

    READY = 0
    SERVING = 1
    DRAINING = 2


class Address(NamedTuple):
    """One place to connect to. `ip` is in canonical text form; `zone` is empty where Kubernetes names none."""

    ip: str
    port: int
    zone: str = ""
    state: State = State.READY


class PortKey(NamedTuple):
    """One port of one Service. `port` is the Service port's name, or its number as text where it has none."""

    namespace: str
    service: str
    port: str
    protocol: str = TCP


PortAddresses = Mapping[str, tuple[Address, ...]]
"""Addresses by `port_label`, in ascending order of address and port."""


def port_label(port: str, protocol: str) -> str:
    """What a port of a Service is filed by: its name or number, with the protocol where that is not TCP."""
    return f"{port}{_OF_UDP}" if protocol == UDP else port


def port_key(service: tuple[str, str], label: str) -> PortKey:
    """The port that a label stands for."""
    name = label.removesuffix(_OF_UDP)
    return PortKey(*service, name, TCP if name == label else UDP)


def all_addresses_of(
    service: Service, slices: Iterable[EndpointSlice], *, loopback: bool = False
) -> dict[str, tuple[Address, ...]]:
    """Every TCP and UDP port of the Service by its label."""
    pieces = tuple(slices)
    found = addresses_of(service, pieces, loopback=loopback)
    if any(port.protocol == UDP for port in service.spec.ports):
        of_udp = addresses_of(service, pieces, protocol=UDP, loopback=loopback)
        found.update({port_label(port, UDP): places for port, places in of_udp.items()})
    return found


def addresses_of(
    service: Service, slices: Iterable[EndpointSlice], *, protocol: str = TCP, loopback: bool = False
) -> dict[str, tuple[Address, ...]]:
    """Every port of the Service with that protocol, with its addresses; a port without endpoints has none.

    `loopback` lets addresses of this machine in: for manifests written by hand, never for objects of a cluster.
    """
    usable = [piece for piece in slices if piece.address_type in ("IPv4", "IPv6")]
    return {
        dns_port(port): _merge(found for piece in usable for found in _addresses(port, piece, loopback=loopback))
        for port in service.spec.ports
        if port.protocol == protocol
    }


def dns_port(port: ServicePort) -> str:
    """The label our DNS knows the port by: its name, or its number where it has none."""
    return port.name or str(port.port)


def numeric_target(port: ServicePort) -> int | None:
    """The targetPort where it is a number. An absent one equals the port (Kubernetes fills it in; files may not)."""
    return port.port if port.target_port is None else port.target_port if isinstance(port.target_port, int) else None


@lru_cache(maxsize=4096)
def routable(text: str, *, loopback: bool = False) -> IPAddress | None:
    """The address in that text; None where it is no address, or one that no route may reach."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    plain = getattr(address, "ipv4_mapped", None) or address
    if plain.is_loopback:
        return address if loopback else None
    if plain.is_link_local or plain.is_multicast or plain.is_unspecified or getattr(address, "scope_id", None):
        return None
    if plain.version == 4 and (plain in _THIS_NETWORK or plain.is_reserved):
        return None
    return address


def _merge(found: Iterable[Address]) -> tuple[Address, ...]:
    """Each address once, in its best state; those that are not ready only where none is."""
    best: dict[tuple[str, int], Address] = {}
    for address in found:
        known = best.get(address[:2])
        if known is None or (address.state, address.zone) < (known.state, known.zone):
            best[address[:2]] = address
    ready = [address for address in best.values() if address.state is State.READY]
    fit = ready or list(best.values())
    if len(fit) > 1:
        fit.sort(key=lambda address: (*_rank(address.ip), address.port))
    return tuple(fit)


@lru_cache(maxsize=4096)
def _rank(ip: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(ip)
    return parsed.version, int(parsed)


def _addresses(port: ServicePort, piece: EndpointSlice, *, loopback: bool) -> Iterator[Address]:
    numbers = _numbers(port, piece.ports or ())
    if not numbers:
        return
    for endpoint in piece.endpoints or ():
        state = _state(endpoint)
        if state is None:
            continue
        for text in endpoint.addresses:
            address = routable(text, loopback=loopback)
            if address is not None:
                yield from (Address(str(address), number, endpoint.zone or "", state) for number in numbers)


def _numbers(port: ServicePort, ports: tuple[EndpointPort, ...]) -> tuple[int, ...]:
    """Port numbers of a slice that this Service port means.

    An unnamed Service port is the only one of its Service, so all ports of the slice are its own.
    """
    of_protocol = [candidate for candidate in ports if (candidate.protocol or TCP) == port.protocol]
    matching = [candidate for candidate in of_protocol if not port.name or (candidate.name or "") == port.name]
    target = numeric_target(port)
    if matching:
        # No number in a slice means "all ports": the Service has to say which.
        numbers = [candidate.port or target or port.port for candidate in matching]
    else:
        numbers = [] if target is None else [target]
    return tuple(sorted({number for number in numbers if 0 < number < 65_536}))


def _state(endpoint: Endpoint) -> State | None:
    """None where the endpoint must get nothing at all. `serving` unset defers to `ready`, as the API says."""
    conditions = endpoint.conditions
    if conditions.ready is None or conditions.ready:
        return State.READY
    if not conditions.serving:
        return None
    return State.DRAINING if conditions.terminating else State.SERVING


ServiceName = tuple[str, str]
"""(namespace, name)"""

_NOTHING: PortAddresses = MappingProxyType({})


class _Saved(msgspec.Struct, frozen=True):
    namespace: str
    service: str
    ports: dict[str, list[tuple[str, int]]]


@dataclass(slots=True)
class AddressTable:
    """Addresses of all Services. Owned by the event loop; what it hands out is immutable.

    One Service is replaced by one assignment, so a reader sees all its ports old or all its ports new.
    """

    _services: dict[ServiceName, PortAddresses] = field(default_factory=dict)
    _texts: dict[ServiceName, bytes] = field(default_factory=dict)
    _saved: bytes | None = None

    def put(self, service: ServiceName, ports: PortAddresses) -> None:
        self._services[service] = MappingProxyType(dict(ports))
        self._texts.pop(service, None)
        self._saved = None

    def drop(self, service: ServiceName) -> None:
        self._services.pop(service, None)
        self._texts.pop(service, None)
        self._saved = None

    def ports(self, service: ServiceName) -> PortAddresses:
        """Empty for a Service that is not there: it is the same as one without pods."""
        return self._services.get(service, _NOTHING)

    def addresses(self, key: PortKey) -> tuple[Address, ...]:
        return self.ports((key.namespace, key.service)).get(port_label(key.port, key.protocol), ())

    def snapshot(self) -> dict[ServiceName, PortAddresses]:
        """A copy that other threads may keep."""
        return dict(self._services)

    def save(self) -> bytes:
        """JSON for a file, so that a restarted controller can answer before it has seen the cluster again.

        The same object as before where nothing has changed.
        """
        if self._saved is None:
            for service in self._services.keys() - self._texts.keys():
                self._texts[service] = self._text(*service)
            self._texts = dict(sorted(self._texts.items()))  # what is almost sorted is sorted quickly the next time
            self._saved = b"[" + b",".join(self._texts.values()) + b"]"
        return self._saved

    def _text(self, namespace: str, service: str) -> bytes:
        ports = self._services[(namespace, service)]
        places = {port: [found[:2] for found in addresses] for port, addresses in ports.items()}
        return msgspec.json.encode(_Saved(namespace, service, places))


def restore(saved: bytes) -> AddressTable:
    """The table of `AddressTable.save`. Raises ValueError where the bytes are something else."""
    table = AddressTable()
    for entry in msgspec.json.decode(saved, type=list[_Saved]):
        places = {port: tuple(Address(ip, number) for ip, number in found) for port, found in entry.ports.items()}
        for found in (address for addresses in places.values() for address in addresses):
            if routable(found.ip, loopback=True) is None or not 0 < found.port < 65_536:
                raise ValueError(f"saved table: not an address: {found.ip}:{found.port}")
        table.put((entry.namespace, entry.service), places)
    return table
