"""Which replica we are, from nothing but the addresses of all: no Lease, no call, no agreement that could fail.

Every replica sorts the same addresses, those of the ready pods behind the Service that leads to the controller, and
looks for its own. While the lists differ, when a pod comes or goes, two may have the same turn for a moment.
"""

from __future__ import annotations

import ipaddress
import socket
import zlib
from collections.abc import Iterable

from controller.dataplane.pace import Replica

_ANY_PORT = 9


def replica_among(addresses: Iterable[str], name: str) -> Replica:
    """Our place among the addresses; where none is ours (not ready yet), one by our pod's name."""
    found = sorted(set(addresses))
    count = max(1, len(found))
    number = next((place for place, address in enumerate(found) if _is_ours(address)), zlib.crc32(name.encode()))
    return Replica(number % count, count)


def _is_ours(address: str) -> bool:
    """Linux sends from the very address that it sends to only where that one is local. Nothing is sent."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, _ANY_PORT))
        except OSError:
            return False
        own: str = asked.getsockname()[0]
    return ipaddress.ip_address(own) == ipaddress.ip_address(address)
