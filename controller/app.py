"""The composition root: builds every part, wires them, starts and stops them in order. The only place that knows all.

Start: look at nginx -> DNS responder up, filled from the saved table -> nginx up on the last good generation, if there
is one -> sources list -> all kinds read -> first build -> apply -> ready. Never a build from a partial store.
Stop: not ready -> status and Lease -> drain nginx -> the responder last, since nginx needs it until its end.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from controller import memory, saved
from controller.dataplane.binary import find_nginx, inspect_nginx
from controller.dataplane.driver import DataPlane
from controller.dataplane.replicas import replica_among
from controller.dataplane.result import ApplyResult, Outcome
from controller.dataplane.turn import Cause
from controller.dataplane.worker_user import worker_user
from controller.endpoints.external import ExternalNames, ExternalOptions, cluster_service, target_of, targets_of_urls
from controller.endpoints.service import EndpointService
from controller.endpoints.table import Address, port_label, restore
from controller.findings import FindingsLog, with_quarantine
from controller.kept import kept_certificates, kept_default
from controller.layouts import SavedPorts, layout_of, prepare_directories, sentinel_port_of, with_own_ports
from controller.model.configuration import DEFAULT_CERTIFICATE, Configuration, References, Upstream
from controller.model.diagnostics import Report
from controller.model.errors import HeadraceError, NginxRefused
from controller.model.fragments import FragmentSet
from controller.model.layout import Layout
from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.observe.compatibility import Identity
from controller.observe.http import Sources as StatusPages
from controller.observe.http import StatusServer
from controller.observe.lag import sample_loop_lag
from controller.observe.live import HoldState, OldWorkerState
from controller.observe.metrics import Metrics
from controller.observe.requests import RequestLog
from controller.outside import Outside, outside_of
from controller.reconcile import TROUBLE, Builder, Reconciler, Round
from controller.render.fragments import Renderer
from controller.selfsigned import self_signed
from controller.settings import Settings
from controller.state.events import Event
from controller.state.store import Store
from controller.version import __version__

logger = logging.getLogger(__name__)

SAVE_INTERVAL = 1.0
"""Seconds between two savings of the endpoint table, where it changed."""

TABLE = "endpoints.json"

REFRESH_INTERVAL = 600.0
"""Seconds between builds without a change: certificates run out by themselves."""

CLUSTER_DOMAIN = "cluster.local"
"""The usual one; Services are also known as `svc.ns` and `svc.ns.svc`, whatever it is."""

COUNTED = {
    "ingresses": Kind.INGRESS,
    "services": Kind.SERVICE,
    "endpoint_slices": Kind.ENDPOINT_SLICE,
    "secrets": Kind.SECRET,
}


async def serve(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code. Raises `HeadraceError` where it cannot start."""
    memory.collect_rarely()
    directories = prepare_directories(settings)
    found = await inspect_nginx(find_nginx(settings.nginx))
    for warning in found.warnings:
        logger.warning("nginx has known holes", extra={"advice": warning})
    workers = worker_user(*map(str, directories))
    if workers.directive.startswith("root"):
        logger.warning("workers run as root", extra={"reason": workers.reason})
    outside = await outside_of(settings)
    ports = SavedPorts.load(settings.state_dir)
    sentinel = sentinel_port_of(settings, ports)
    endpoints = EndpointService(
        hold_socket=str(directories[1] / "hold.sock"),
        sentinel_port=sentinel,
        loopback=settings.manifests is not None,
    )
    _fill_from(settings.state_dir / TABLE, endpoints)
    await endpoints.start(ports.resolvers)
    layout = layout_of(
        settings,
        found.binary,
        directories,
        worker_user=workers.directive,
        resolvers=endpoints.addresses,
        sentinel=sentinel,
    )
    _say_hello(settings, layout, outside)
    return await App(settings, layout, outside, endpoints).run()


def _fill_from(table: Path, endpoints: EndpointService) -> None:
    """Answer as the last run did, where what it saved is whole."""
    try:
        endpoints.fill(restore(saved.load(table)))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as fault:
        logger.warning("saved endpoints not usable", extra={"file": table.name, "error": str(fault)})


def _say_hello(settings: Settings, layout: Layout, outside: Outside) -> None:
    logger.info(
        "starting",
        extra={
            "version": __version__,
            "source": outside.name,
            "nginx": ".".join(map(str, layout.nginx.version)),
            "nginx_path": layout.nginx.path,
            "features": ",".join(sorted(layout.nginx.features)),
            "http_port": layout.http_port,
            "https_port": layout.https_port,
            "state_dir": layout.state_dir,
        },
    )


class App:
    """One running controller. Everything mutable belongs to the event loop."""

    def __init__(self, settings: Settings, layout: Layout, outside: Outside, endpoints: EndpointService) -> None:
        self._settings = settings
        self._layout = layout
        self._outside = outside
        self._endpoints = endpoints
        self._store = Store(outside.expected)
        self._metrics = _metrics_of(settings, layout)
        self._requests = RequestLog(Path(layout.metrics_log), self._metrics.requests)
        self._data_plane = DataPlane(layout, limits=settings.reloads)
        kept = kept_certificates(Path(layout.certificates_dir))
        self._builder = Builder(with_own_ports(settings, layout), Renderer(layout), kept)
        self._reconciler = Reconciler(
            self._builder,
            self,
            self._store.snapshot,
            self._publish,
            lambda: self._metrics.record_internal_error("build"),
        )
        self._external = ExternalNames(
            self._publish_external,
            options=ExternalOptions(allow_refused=settings.allow_local_external_names),
            in_cluster=self._addresses_in_cluster,
        )
        self._default_certificate = self_signed()
        self._told = FindingsLog()
        self._report = Report()
        self._served: Configuration | None = None
        self._references: References | None = None
        self._upstreams: Mapping[str, Upstream] = {}
        self._outside_upstreams: list[Upstream] = []
        self._stop = asyncio.Event()
        self._draining = False
        self._saved_table = b""
        self._table_unsaved = False
        self._read_metrics()

    # -- from start to end

    async def run(self) -> int:
        """Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        status = StatusServer(
            StatusPages(self._healthy, self._not_ready, self._metrics.scrape, lambda: self._report),
            host=self._settings.healthz_host,
            port=self._settings.healthz_port,
            health_path=self._settings.options.health_check_path,
        )
        try:
            await status.start()
        except OSError as error:
            port = self._settings.healthz_port
            raise NginxRefused(f"--healthz-port {port} cannot be used: {error.strerror}") from error
        self._requests.start()
        await self._write_default_certificate()
        if await self._data_plane.start_last_good():
            logger.info("last good generation served", extra={"generation": self._data_plane.generation})
        code = 1
        try:
            code = await self._run_until_stopped(
                {
                    "source": self._outside.source.run(self._on_event),
                    "reconciler": self._reconciler.run(),
                    "external-names": self._external.run(),
                    "request-log": self._requests.run(),
                    "loop-lag": sample_loop_lag(self._metrics.record_loop_lag),
                    "endpoint-table": self._keep_table(),
                    "nginx-watch": self._watch_nginx(),
                    "old-workers": self._data_plane.turn.watch(),
                    "progress": self._tell_progress(),
                    **self._outside.tasks(self._store, self._metrics),
                }
            )
            return code
        finally:
            await self._end(drain=code == 0)
            await status.stop()

    async def _run_until_stopped(self, parts: Mapping[str, Coroutine[Any, Any, Any]]) -> int:
        """Every part runs for ever; one that ends takes the process with it, so that it is started anew."""
        stopping = asyncio.create_task(self._stop.wait(), name="signal")
        tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in done if task is not stopping]
        for task in failed:
            _complain_of(task)
        logger.info("stopping", extra={"reason": failed[0].get_name() if failed else "signal"})
        self._draining = True
        if not failed:
            await asyncio.sleep(self._settings.shutdown_grace_period)
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
        return 1 if failed else 0

    async def _end(self, *, drain: bool) -> None:
        """Drains nginx; after a fault of ours nginx is left running, for the next start to adopt."""
        self._draining = True
        await self._outside.close(self._store)
        if drain:
            await self._data_plane.stop(float(self._served.main.worker_shutdown_timeout if self._served else 10))
        else:
            self._data_plane.detach()
        await asyncio.sleep(self._settings.post_shutdown_grace_period)
        await self._endpoints.stop()
        logger.info("stopped")

    # -- events in

    def _on_event(self, event: Event) -> None:
        was_ready = self._store.ready
        change = self._store.apply(event)
        self._outside.on_event(event, change)
        if not self._store.ready:
            return
        if not was_ready:
            self._all_read()
        for key in change.services if was_ready else self._store.services():
            self._update_endpoints(key)
        if change.config or not was_ready:
            self._reconciler.mark_dirty()

    def _all_read(self) -> None:
        """What the saved table still says of Services that are gone ends here, and the heap is taken as it is."""
        logger.info("all objects read", extra={name: self._store.count(kind) for name, kind in COUNTED.items()})
        known = {(key.namespace, key.name) for key in self._store.services()}
        for namespace, name in self._endpoints.table.snapshot().keys() - known:
            self._endpoints.remove(ObjectKey(Kind.SERVICE, namespace, name))
        self._endpoints.all_known()
        memory.settle()

    def _update_endpoints(self, key: ObjectKey) -> None:
        service = self._store.service(key)
        if service is None:
            self._endpoints.remove(key)
        elif service.spec.type != "ExternalName":
            self._endpoints.update(service, self._store.slices_of(key))
        if key == self._settings.publish_service:
            self._count_replicas(key)

    def _count_replicas(self, own: ObjectKey) -> None:
        """Ready pods of the Service that leads to this controller: limits may be divided and reloads take turns."""
        ports = self._endpoints.table.snapshot().get((own.namespace, own.name), {})
        addresses = {address.ip for found in ports.values() for address in found}
        self._data_plane.turn.replica = replica_among(addresses, self._settings.pod_name)
        if self._builder.set_replicas(max(1, len(addresses))):
            self._reconciler.mark_dirty()

    def _publish_external(self, service: ObjectKey, ports: Mapping[str, tuple[Address, ...]]) -> None:
        self._endpoints.publish(service, ports)

    def _addresses_in_cluster(self, host: str, number: int) -> tuple[Address, ...] | None:
        """For an ExternalName that is the name of a Service: straight to its pods."""
        found = cluster_service(host, CLUSTER_DOMAIN)
        service = self._store.service(ObjectKey(Kind.SERVICE, *found)) if found else None
        return self._endpoints.at_number(service, number) if service else None

    # -- configurations out

    async def may_apply(self, fragments: FragmentSet, changed: asyncio.Event, *, serial: bool) -> bool:
        """For the reconciler: whether to apply now, or to look again because something has changed."""
        return await self._data_plane.may_apply(fragments, changed, serial=serial)

    async def apply(self, fragments: FragmentSet, reason: str) -> ApplyResult:
        """For the reconciler: nginx shall run these fragments."""
        return await self._data_plane.apply(fragments, reason)

    async def write_certificates(self, files: Mapping[str, SecretBytes | bytes]) -> tuple[str, ...]:
        """For the reconciler: the certificates of the configuration; the default one is always among them."""
        everything = {**files, f"{DEFAULT_CERTIFICATE}.pem": self._default_certificate}
        return await self._data_plane.write_certificates(everything)

    async def _write_default_certificate(self) -> None:
        """Before nginx starts. Where the disk fails, it starts on that of the last run; if that is damaged, the log
        says so in any case."""
        kept = kept_default(Path(self._layout.certificates_dir))
        try:
            await self.write_certificates({})
        except OSError as fault:
            logger.warning("default certificate not written", extra={"error": str(fault)})
            self._default_certificate = kept or self._default_certificate

    async def _publish(self, done: Round) -> None:
        translation, result = done.translation, done.result
        configuration = translation.configuration
        first = self._served is None
        if result.outcome is not Outcome.REFUSED:
            self._served = configuration
        self._report = with_quarantine(translation.report, result.quarantined)
        self._use_external_names(configuration)
        if translation.references != self._references:
            self._references = translation.references
            self._outside.want(self._references.secrets | self._references.configmaps)
        fresh = self._told.tell(self._report)
        self._outside.on_round(translation.ingresses, self._report, fresh)
        self._metrics.record_report(self._report)
        self._metrics.record_configuration(configuration)
        self._metrics.record_apply(
            str(result.outcome),
            generation=result.generation,
            seconds={"build": done.build_seconds, **result.timings},
            quarantined=len(result.quarantined),
            reload_reason=result.reload_reason,
        )
        self._log_round(done)
        if first and self._served is not None:
            logger.info("ready", extra={"hosts": len(configuration.servers) - 1})
            await asyncio.to_thread(memory.give_back)

    def _use_external_names(self, configuration: Configuration) -> None:
        ports: dict[ObjectKey, list[str]] = {}
        if configuration.upstreams is not self._upstreams:
            self._upstreams = configuration.upstreams
            self._outside_upstreams = [u for u in self._upstreams.values() if u.external or u.host]
        for upstream in self._outside_upstreams:
            if upstream.external and not upstream.host:
                ports.setdefault(upstream.service, []).append(upstream.dns_port)
        for stream in configuration.streams.upstreams.values():
            if stream.external:
                ports.setdefault(stream.service, []).append(port_label(stream.dns_port, stream.transport))
        services = ((self._store.service(key), wanted) for key, wanted in ports.items())
        named = [target_of(service, wanted) for service, wanted in services if service is not None]
        self._external.use([*named, *targets_of_urls(self._outside_upstreams)])

    def _log_round(self, done: Round) -> None:
        result = done.result
        fields = {
            "generation": result.generation,
            "outcome": str(result.outcome),
            "reload_reason": result.reload_reason,
            "hosts": len(done.translation.configuration.servers) - 1,
            "certificates_written": len(done.certificates_written),
            "findings": dict(self._report.by_code()),
            "quarantined": [refused.path for refused in result.quarantined],
            "build_ms": round(done.build_seconds * 1000),
            **{f"{stage}_ms": round(seconds * 1000) for stage, seconds in result.timings.items()},
        }
        if result.outcome is Outcome.REFUSED:
            logger.error("configuration refused, the last good one stays", extra={**fields, "error": result.message})
        else:
            logger.info("reconciled", extra=fields)

    # -- what others ask

    def _healthy(self) -> str:
        if self._draining:
            return "shutting down"
        if self._reconciler.failures >= TROUBLE:
            return "internal errors while building the configuration"
        return ""

    def _not_ready(self) -> str:
        if self._draining:
            return "shutting down"
        if not self._store.ready:
            return f"waiting for: {', '.join(self._store.waiting_for)}"
        if self._served is None:
            return "the first configuration is not served yet"
        return self._healthy()

    def _read_metrics(self) -> None:
        responder = self._endpoints.responder
        self._metrics.read_hold(self._hold_state)
        self._metrics.read_old_workers(self._old_worker_state)
        self._metrics.read_dns(lambda: responder.queries, lambda: responder.unsent)
        self._metrics.read_endpoints(self._endpoint_counts)
        self._metrics.read_watches(self._outside.watch_states)
        self._metrics.read_request_log(self._requests)

    def _hold_state(self) -> HoldState:
        counters = self._endpoints.hold_counters
        ended = {str(reason): number for reason, number in counters.ended.items()}
        return HoldState(counters.asked, counters.held_now, counters.wait_seconds, ended)

    def _old_worker_state(self) -> OldWorkerState:
        turn = self._data_plane.turn
        delayed = {str(cause): turn.delayed[cause] for cause in Cause}
        return OldWorkerState(turn.old.count, turn.old.memory, turn.old.connections, turn.ended, delayed)

    def _endpoint_counts(self) -> dict[tuple[str, str], int]:
        table = self._endpoints.table.snapshot()
        return {service: len({a.ip for found in ports.values() for a in found}) for service, ports in table.items()}

    # -- small eternal tasks

    async def _keep_table(self) -> None:
        """Saves the endpoint table, so that a restarted controller can answer before it has seen the cluster."""
        try:
            while True:
                await asyncio.sleep(SAVE_INTERVAL)
                await asyncio.to_thread(self._save_table, self._endpoints.table.save())
        finally:
            self._save_table(self._endpoints.table.save())

    def _save_table(self, text: bytes) -> None:
        """Nothing is saved before all was read: it would be less than what the last run left.

        A disk that fails is said once; the table is saved when it works again.
        """
        if not self._store.ready or text == self._saved_table:
            return
        try:
            saved.save(Path(self._layout.state_dir) / TABLE, text)
        except OSError as fault:
            if not self._table_unsaved:
                logger.warning("endpoints not saved", extra={"file": TABLE, "error": str(fault)})
            self._table_unsaved = True
        else:
            self._saved_table, self._table_unsaved = text, False

    async def _tell_progress(self) -> None:
        """One line a second while objects are read; afterwards a build now and then, for what time alone changes, and
        what changes left of free memory goes back."""
        while not self._store.ready:
            await asyncio.sleep(1.0)
            if not self._store.ready:
                counts = {name: self._store.count(kind) for name, kind in COUNTED.items()}
                logger.info("reading objects", extra={**counts, "waiting_for": self._store.waiting_for})
        while True:
            await asyncio.sleep(REFRESH_INTERVAL)
            await asyncio.to_thread(memory.give_back)
            self._reconciler.mark_dirty()

    async def _watch_nginx(self) -> None:
        restarts = 0
        while True:
            self._metrics.record_nginx(up=self._data_plane.pid != 0)
            self._metrics.record_ready(ready=not self._not_ready())
            for _ in range(self._data_plane.restarts - restarts):
                self._metrics.record_nginx_restart()
            restarts = self._data_plane.restarts
            await asyncio.sleep(1.0)


def _metrics_of(settings: Settings, layout: Layout) -> Metrics:
    nginx = ".".join(map(str, layout.nginx.version))
    who = Identity(__version__, nginx, settings.pod_name, settings.pod_namespace, settings.options.controller_class)
    return Metrics(who)


def _complain_of(task: asyncio.Task[Any]) -> None:
    error = task.exception()
    if isinstance(error, HeadraceError):
        logger.error("cannot go on", extra={"part": task.get_name(), "error": str(error)})
    else:
        logger.critical("a part ended that never should", extra={"part": task.get_name()}, exc_info=error)
