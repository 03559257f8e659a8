"""How many locations are served, and for which Ingresses: kept by what changes, since it is asked after each round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.model.configuration import Server
from controller.model.deltas import delta


@dataclass(slots=True)
class ServedRoutes:
    """`ingresses`: (namespace, name), each with the number of hosts that it is on."""

    locations: int = 0
    ingresses: Counter[tuple[str, str]] = field(default_factory=Counter)

    def change(self, before: Mapping[str, Server], after: Mapping[str, Server]) -> bool:
        """From the servers of one configuration to those of the next. True where an Ingress has lost its last host."""
        changes = delta(before, after)
        for server in filter(None, changes.values()):
            self._count(server, 1)
        gone = False
        for host in changes.keys() & before.keys():
            gone |= self._count(before[host], -1)
        return gone

    def _count(self, server: Server, sign: int) -> bool:
        self.locations += sign * len(server.locations)
        gone = False
        fallback = (server.fallback.origin.ingress,) if server.fallback.origin else ()
        for key in dict.fromkeys((*server.origins, *fallback)):
            name = (key.namespace, key.name)
            self.ingresses[name] += sign
            if not self.ingresses[name]:
                del self.ingresses[name]
                gone = True
        return gone
