"""The endpoints side of the controller in one piece: table, DNS and hold, kept in step.

`publish` is the only way in: it replaces one Service in the table, in the DNS answers and in what hold knows, within
one turn of the event loop. Nothing here translates, renders or reloads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from controller.endpoints.hold import Changed, HoldCounters, HoldLimits, HoldMachine, Removed
from controller.endpoints.hold_server import HoldServer
from controller.endpoints.responder import Responder
from controller.endpoints.table import (
    TCP,
    Address,
    AddressTable,
    PortAddresses,
    PortKey,
    all_addresses_of,
    dns_port,
    port_key,
)
from controller.endpoints.zone import Zone
from controller.k8s.core import Service
from controller.k8s.endpointslice import EndpointSlice
from controller.model.refs import ObjectKey

logger = logging.getLogger(__name__)


class EndpointService:
    """Owned by the event loop. Publishing works before `start`, so that the first question finds an answer."""

    def __init__(
        self, *, hold_socket: str, sentinel_port: int, limits: HoldLimits | None = None, loopback: bool = False
    ) -> None:
        """`loopback` lets Services have addresses of this machine: for manifests, never for a cluster."""
        self.table = AddressTable()
        self._loopback = loopback
        self._zone = Zone(sentinel_port)
        self.responder = Responder(self._zone.answer_udp, self._zone.answer_tcp)
        self._machine = HoldMachine(limits)
        self._hold = HoldServer(self._machine, hold_socket)

    @property
    def addresses(self) -> tuple[str, ...]:
        """`ip:port` for nginx's `resolver` directive; known after `start`."""
        return self.responder.addresses

    @property
    def hold_counters(self) -> HoldCounters:
        return self._machine.counters

    async def start(self, ports: Sequence[int] = (), sockets: int = 8) -> None:
        """Listen; `ports` are those of the last run, taken again where they are free. Raises OSError."""
        await self.responder.start(ports, sockets)
        await self._hold.start()

    async def stop(self) -> None:
        """nginx keeps its last peers when nobody answers, so stop this after nginx."""
        await self._hold.stop()
        await self.responder.stop()

    def update(self, service: Service, slices: Iterable[EndpointSlice]) -> bool:
        """Publish what a Service and all its slices come to. Not for ExternalName Services."""
        key = (service.metadata.namespace, service.metadata.name)
        return self._publish(key, all_addresses_of(service, slices, loopback=self._loopback))

    def publish(self, service: ObjectKey, ports: PortAddresses) -> bool:
        """Replace all ports of a Service; tells whether nginx has anything new to learn."""
        return self._publish((service.namespace, service.name), ports)

    def at_number(self, service: Service, number: int) -> tuple[Address, ...] | None:
        """Addresses of a Service by port number, for names that point back into the cluster.

        None where the Service has no such port, or is itself only a name.
        """
        if service.spec.type == "ExternalName":
            return None
        port = next((port for port in service.spec.ports if port.port == number and port.protocol == TCP), None)
        if port is None:
            return None
        return self.table.addresses(PortKey(service.metadata.namespace, service.metadata.name, dns_port(port)))

    def remove(self, service: ObjectKey) -> None:
        self._publish((service.namespace, service.name), {})
        self.table.drop((service.namespace, service.name))

    def fill(self, saved: AddressTable) -> None:
        """Start from the table of the last run, until the cluster has been read."""
        for service, ports in saved.snapshot().items():
            self._publish(service, ports)

    def all_known(self) -> None:
        """From now on a Service that was not published does not exist."""
        self._zone.complete = True

    def _publish(self, service: tuple[str, str], ports: PortAddresses) -> bool:
        before = self.table.ports(service)
        self.table.put(service, ports)
        news = False
        for port, addresses in ports.items():
            key = port_key(service, port)
            places = tuple((address.ip, address.port) for address in addresses)
            if self._put(key, places):
                self._hold.on(Changed(key, places))
                news = True
        for port in before.keys() - ports.keys():
            key = port_key(service, port)
            self._zone.drop(key)
            self._hold.on(Removed(key))
            news = True
        return news

    def _put(self, key: PortKey, places: Sequence[tuple[str, int]]) -> bool:
        try:
            return self._zone.put(key, places)
        except ValueError as fault:
            # Only manifests can hold such a name: the API server refuses it, and nginx could not ask for it.
            logger.warning("name does not fit DNS", extra={**key._asdict(), "error": str(fault)})
            return False
