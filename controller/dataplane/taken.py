"""Whether an address that a fragment wants is free, asked before nginx is told to listen there.

`nginx -t` does not tell: it skips addresses that are in use, and one that cannot be bound makes a later reload fail as
a whole. So a single TCP service whose port another process of the node has would keep every other change out.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Mapping

from controller.dataplane.check import describe_start
from controller.dataplane.result import Refusal
from controller.model.fragments import Address, Fragment

PATIENCE = 1.0
"""Seconds from the beginning of a change for an address in use to become free: workers of ours that retire let go of
theirs within milliseconds."""

_TYPES = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


async def find_taken(wanted: Mapping[str, Fragment], served: Mapping[str, Fragment], until: float) -> Refusal | None:
    """The first fragment whose address cannot be had; those that nginx listens on already are not looked at.

    `until`: on the monotonic clock, how long an address in use is waited for.
    """
    for path, fragment in wanted.items():
        if fragment.listens and not (path in served and "listen " in served[path].text):
            for address in fragment.listens:
                fault = await _fault(address, until)
                if fault:
                    return Refusal(fault, path)
    return None


async def _fault(address: Address, until: float) -> str:
    """In nginx's words; empty where the address is free."""
    while True:
        reason = _bind(address)
        if reason is None:
            return ""
        if reason.errno != errno.EADDRINUSE or time.monotonic() > until:
            return describe_start(f"bind() to {address.place} failed ({reason.errno}: {reason.strerror})")
        await asyncio.sleep(0.05)


def _bind(address: Address) -> OSError | None:
    host, _, port = address.place.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        with socket.socket(family, _TYPES[address.transport]) as probe:
            if address.transport == "TCP":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("" if host == "*" else host.strip("[]"), int(port)))
            if address.transport == "TCP":
                probe.listen(1)
    except OSError as reason:
        return reason
    return None
