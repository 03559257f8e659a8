"""One look at a set of objects, for `render`, `lint` and `explain`: read, translate, and nothing else.

From files, or from a cluster (read-only; the Kubernetes client is loaded only then).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from controller.endpoints.table import addresses_of
from controller.model.configuration import Translation, Upstream
from controller.model.options import Options
from controller.model.refs import ObjectKey
from controller.sources.manifests import load
from controller.state.events import Applied, Event
from controller.state.store import Store
from controller.translate.translator import translate


@dataclass(frozen=True, slots=True)
class Look:
    """What was read and what it means."""

    store: Store
    translation: Translation
    manifests: bool

    def endpoints(self, upstream: Upstream) -> tuple[str, ...]:
        """`ip:port` of every pod that the upstream leads to now."""
        service = self.store.service(upstream.service)
        if service is None:
            return ()
        ports = addresses_of(service, self.store.slices_of(upstream.service), loopback=self.manifests)
        found = ports.get(upstream.dns_port, ())
        return tuple(f"[{a.ip}]:{a.port}" if ":" in a.ip else f"{a.ip}:{a.port}" for a in found)


def look_at_manifests(directory: Path, options: Options) -> Look:
    """Raises `UsageError` where there is no such directory."""
    return _look(load(directory), options, manifests=True)


def look_at_cluster(kubeconfig: str, options: Options) -> Look:
    """Lists everything once, then reads what annotations name. Raises `ApiUnavailable` and `ApiForbidden`."""
    from controller.sources.cluster import read_all

    def named(events: list[Event]) -> frozenset[ObjectKey]:
        references = _look(events, options, manifests=False).translation.references
        known = {event.key for event in events if isinstance(event, Applied)}
        return (references.secrets | references.configmaps) - known

    events = asyncio.run(read_all(kubeconfig, options, further=named))
    return _look(events, options, manifests=False)


def _look(events: list[Event], options: Options, *, manifests: bool) -> Look:
    store = Store(frozenset())
    for event in events:
        store.apply(event)
    return Look(store, translate(store.snapshot(), options, now=int(time.time())), manifests)
