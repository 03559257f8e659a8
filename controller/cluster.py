"""The cluster as the world outside: objects come from the API server; status, Events and a Lease go back to it.

The only place that knows both `sources/` and `status/`. Guarantees: nothing that fails in writing ends the process or
touches traffic, and a connection that cannot be set up at all is a `UsageError` before anything has started. With
`--shadow` none of the writers is made, so nothing can be written.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from controller.model.diagnostics import Diagnostic, Report
from controller.model.refs import Kind, ObjectKey
from controller.observe.live import WatchState
from controller.observe.metrics import Metrics
from controller.settings import Settings
from controller.sources.base import Source
from controller.sources.cluster import ClusterSource, expected_kinds
from controller.sources.transport import Transport, connect
from controller.sources.writer import ApiWriter
from controller.state.events import Applied, Deleted, Event
from controller.state.store import Change, Store
from controller.status.events import EventSender
from controller.status.lease import Election, Elector
from controller.status.writer import StatusOptions, StatusWriter

logger = logging.getLogger(__name__)

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"""

RELEASE_SECONDS = 3.0
CLEAR_SECONDS = 10.0
REQUEST_SECONDS = 10.0


class ClusterOutside:
    """Open it with `open`. `tasks` is called once, before the source runs."""

    name = "cluster"

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings, self._transport = settings, transport
        self._api = ApiWriter(transport)
        services = filter(None, [settings.publish_service])
        self._cluster = ClusterSource(transport, settings.options, services=services)
        self.source: Source = self._cluster
        self.expected = expected_kinds(settings.options)
        self._namespace, self._pod = _own_pod(settings)
        self._store = Store(self.expected)
        self._elector: Elector | None = None
        self._writer: StatusWriter | None = None
        self._events: EventSender | None = None

    @classmethod
    async def open(cls, settings: Settings) -> ClusterOutside:
        """Nothing is asked of the API server yet. Raises `UsageError`."""
        return cls(settings, await connect(settings.kubeconfig, settings.apiserver_host))

    def tasks(self, store: Store, metrics: Metrics) -> Mapping[str, Coroutine[Any, Any, Any]]:
        settings, self._store = self._settings, store
        if settings.shadow:
            logger.info("shadow: nothing is written to the cluster")
            metrics.record_leader(leader=False)
            return {}
        self._events = EventSender(
            self._api, store, self._leading, instance=self._pod, sync_events=settings.sync_events
        )
        tasks: dict[str, Coroutine[Any, Any, Any]] = {"events": self._events.run()}
        if settings.update_status:
            self._writer = StatusWriter(self._api, store, self._status_options(), self._leading)
            tasks["status"] = self._writer.run()
        metrics.record_leader(leader=not settings.leader_election)
        if settings.leader_election:
            self._elector = self._elector_of(metrics)
            tasks["lease"] = self._elector.run()
        return tasks

    def watch_states(self) -> Sequence[WatchState]:
        return tuple(WatchState(*stats) for stats in self._cluster.stats())

    def on_event(self, event: Event, change: Change) -> None:
        match event:
            case Applied(key) if key.kind is Kind.INGRESS:
                if self._events and change.config and Kind.INGRESS in self._store.synced:
                    self._events.touched(key)
            case Applied(key) | Deleted(key) if self._writer and key == self._settings.publish_service:
                self._writer.stir()

    def on_round(self, ingresses: Sequence[ObjectKey], report: Report, fresh: Sequence[Diagnostic]) -> None:
        if self._writer:
            self._writer.use(ingresses)
        if self._events:
            self._events.round_done(ingresses, report.diagnostics)

    def want(self, keys: frozenset[ObjectKey]) -> None:
        self._cluster.want(keys)

    async def close(self, store: Store) -> None:
        """Clears the status if nobody else serves, then gives the Lease away. Takes 13 seconds at most."""
        if self._writer:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLEAR_SECONDS):
                    await self._writer.clear()
        if self._elector:
            await self._elector.release(RELEASE_SECONDS)
        await self._transport.close()

    def _leading(self) -> bool:
        return self._elector is None or self._elector.leading

    def _elector_of(self, metrics: Metrics) -> Elector:
        settings = self._settings
        identity = f"{self._pod or socket.gethostname()}_{secrets.token_hex(8)}"

        def tell(leading: bool) -> None:
            metrics.record_leader(leader=leading)
            if leading and self._writer:
                self._writer.stir()
            if leading and self._events:
                self._events.tell_findings()

        return Elector(
            self._api,
            Election(self._namespace, settings.election_id, identity, settings.election_ttl),
            tell,
            timeout=min(REQUEST_SECONDS, settings.election_ttl / 3),
        )

    def _status_options(self) -> StatusOptions:
        settings = self._settings
        return StatusOptions(
            given=settings.publish_status_addresses,
            service=settings.publish_service,
            internal=settings.report_node_internal_ip_address,
            interval=settings.status_update_interval,
            pod_namespace=self._namespace,
            pod_name=self._pod,
            clear_at_end=settings.update_status_on_shutdown,
        )


def _own_pod(settings: Settings) -> tuple[str, str]:
    """Namespace and name of our own pod. The name is empty where we are in no pod; Lease and all else need none."""
    found = ""
    with suppress(OSError, UnicodeDecodeError):
        found = SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
    name = settings.pod_name or (socket.gethostname() if found else "")
    return settings.pod_namespace or found or "default", name
