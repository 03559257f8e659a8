"""Everything that the controller reads of a cluster: one reflector for each kind, and named objects by name.

Guarantees: a kind is told as synced once all of it was read; Secrets only when those that Ingresses name have been
looked at too, whatever their type, so that the first build after a start has its certificates. Secrets are watched with
type kubernetes.io/tls or by name, ConfigMaps by name only, Namespaces only where a selector needs their labels.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from msgspec import Struct

from controller.k8s.codec import key_of
from controller.k8s.core import ConfigMap
from controller.k8s.endpointslice import SERVICE_LABEL
from controller.k8s.ingress import Ingress
from controller.model.errors import ApiForbidden, ApiUnavailable, ResourceExpired
from controller.model.options import HostOwnership, Options
from controller.model.refs import Kind, ObjectKey
from controller.sources.base import EVERYTHING, Api, Emit
from controller.sources.by_name import ByName
from controller.sources.lists import list_pages
from controller.sources.reflector import Clock, Reflector, WatchStats
from controller.sources.scope import Scope
from controller.state.events import Applied, Deleted, Event, Rejected, Synced, Unreadable
from controller.state.store import DISPENSABLE
from controller.translate.annotations.naming import objects_named_by, objects_named_in

logger = logging.getLogger(__name__)

TLS_SECRETS = "type=kubernetes.io/tls"
LOOK_SECONDS = 10.0
"""How long named Secrets and ConfigMaps may keep the start waiting."""


def scopes_of(options: Options, services: Iterable[ObjectKey] = ()) -> tuple[Scope, ...]:
    """What to watch. `services` are further Services named by flags, needed wherever they are."""
    namespace = options.watch_namespace
    scopes = [
        Scope(Kind.INGRESS, namespace),
        Scope(Kind.INGRESS_CLASS),
        Scope(Kind.SERVICE, namespace),
        Scope(Kind.ENDPOINT_SLICE, namespace),
        Scope(Kind.SECRET, namespace, TLS_SECRETS),
    ]
    settings = (options.configmap, options.tcp_services_configmap, options.udp_services_configmap)
    scopes += [Scope.of_object(key) for key in dict.fromkeys(settings) if key]
    if options.watch_namespace_selector or options.host_ownership is not HostOwnership.OFF:
        scopes.append(Scope(Kind.NAMESPACE))
    backend = options.default_backend_service
    for service in sorted({*services, *([backend] if backend else [])}):
        if namespace and service.namespace != namespace:
            scopes.append(Scope.of_object(service))
            label = f"{SERVICE_LABEL}={service.name}"
            scopes.append(Scope(Kind.ENDPOINT_SLICE, service.namespace, label_selector=label))
    return tuple(scopes)


def expected_kinds(options: Options) -> frozenset[Kind]:
    """Kinds that must be synced before the first build."""
    return frozenset(scope.kind for scope in scopes_of(options))


def named_by(built: Struct, options: Options) -> frozenset[ObjectKey]:
    """Secrets and ConfigMaps that an Ingress or the controller's ConfigMap names: needed before the first build."""
    if isinstance(built, Ingress):
        namespace = built.metadata.namespace
        named = frozenset(
            ObjectKey(Kind.SECRET, namespace, tls.secret_name) for tls in built.spec.tls if tls.secret_name
        )
        return named | objects_named_by(built.metadata.annotations or {}, namespace, options.annotations_prefix)
    if isinstance(built, ConfigMap) and key_of(Kind.CONFIG_MAP, built) == options.configmap:
        return objects_named_in(built.data, built.metadata.namespace)
    return frozenset()


class ClusterSource:
    """Owned by the event loop."""

    def __init__(
        self, api: Api, options: Options, *, services: Iterable[ObjectKey] = (), clock: Clock | None = None
    ) -> None:
        self._reflectors = tuple(Reflector(scope, api, clock=clock) for scope in scopes_of(options, services))
        self._options = options
        self._always = frozenset(filter(None, [options.default_ssl_certificate]))
        self._by_name = ByName(api, self._tell, self._is_brought, clock=clock)
        self._unfinished = {reflector.scope for reflector in self._reflectors}
        # Only the first scope of a kind decides whether we may read it: the others are single objects named by flags.
        self._main = frozenset({r.scope.kind: r.scope for r in reversed(self._reflectors)}.values())
        self._named: set[ObjectKey] = set()
        self._forbidden: set[Kind] = set()
        self._all_that_name = asyncio.Event()
        self._emit: Emit = _nobody

    def stats(self) -> tuple[WatchStats, ...]:
        """One entry for each kind."""
        by_kind: dict[Kind, list[WatchStats]] = {}
        for found in (*(r.stats for r in self._reflectors), *self._by_name.stats):
            by_kind.setdefault(found.kind, []).append(found)
        return tuple(_sum_of(kind, stats) for kind, stats in sorted(by_kind.items()))

    def want(self, keys: frozenset[ObjectKey]) -> None:
        """Secrets of any type and ConfigMaps that the configuration refers to; to be told after every build."""
        self._by_name.want(keys | self._always)

    async def run(self, emit: Emit) -> None:
        """Ends by cancellation only."""
        self._emit = emit
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(self._reflect(reflector), name=f"watch {reflector.scope}")
            group.create_task(self._by_name.run(), name="watch by name")
            group.create_task(self._finish_secrets(), name="first secrets")

    async def _reflect(self, reflector: Reflector) -> None:
        await reflector.run(lambda event: self._sort(reflector.scope, event))

    def _sort(self, scope: Scope, event: Event) -> None:
        match event:
            case Synced(kind):
                if scope in self._main:
                    self._forbidden.discard(kind)
                self._end(scope)
            case Unreadable(kind):
                if scope in self._main:
                    self._forbidden.add(kind)
                self._end(scope)
            case Applied(_, Ingress() as built) if scope in self._unfinished:
                self._named |= named_by(built, self._options)
                self._tell(event)
            case Applied(key) | Deleted(key) if key.kind in (Kind.SECRET, Kind.CONFIG_MAP):
                if scope in self._unfinished and isinstance(event, Applied):
                    self._named |= named_by(event.object, self._options)
                # A Secret made anew with another type goes here and comes by name, in whatever order we hear of it.
                if not (isinstance(event, Deleted) and self._by_name.has(key)):
                    self._tell(event)
                self._by_name.look_again(key)
            case _:
                self._tell(event)

    def _end(self, scope: Scope) -> None:
        """The scope was read, or we know that we may not read it."""
        first = scope in self._unfinished
        self._unfinished.discard(scope)
        kinds = {unfinished.kind for unfinished in self._unfinished}
        if not kinds & {Kind.INGRESS, Kind.SECRET, Kind.CONFIG_MAP}:
            self._all_that_name.set()
        if scope.kind not in kinds and not (first and scope.kind is Kind.SECRET):
            self._close(scope.kind)

    def _close(self, kind: Kind) -> None:
        self._tell(Unreadable(kind) if kind in self._forbidden else Synced(kind))

    async def _finish_secrets(self) -> None:
        await self._all_that_name.wait()
        self._by_name.want(frozenset(self._named) | self._always)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._by_name.looked()
        except TimeoutError:
            logger.warning("starting without all named objects", extra={"seconds": LOOK_SECONDS})
        self._close(Kind.SECRET)

    def _is_brought(self, key: ObjectKey) -> bool:
        return any(key in r.keys for r in self._reflectors if r.scope.kind is key.kind)

    def _tell(self, event: Event) -> None:
        self._emit(event)


def _nobody(event: Event) -> None:
    raise AssertionError("the source was not started")


def _sum_of(kind: Kind, stats: list[WatchStats]) -> WatchStats:
    return WatchStats(
        kind,
        sum(s.objects for s in stats),
        all(s.connected for s in stats),
        max((s.last_event for s in stats if s.last_event is not None), default=None),
        sum(s.relists for s in stats),
        sum(s.rejects for s in stats),
    )


Further = Callable[[list[Event]], Iterable[ObjectKey]]
"""What else is to be read, once so much is known: objects that annotations name."""


async def read_all(
    kubeconfig: str, options: Options, apiserver_host: str = "", further: Further | None = None
) -> list[Event]:
    """Everything once, for commands that look and leave; then the objects that `further` asks for.

    Raises `UsageError`, `ApiUnavailable`, and `ApiForbidden` for a kind that nothing can be said without.
    """
    from controller.sources.transport import connect

    api = await connect(kubeconfig, apiserver_host)
    try:
        events = await read_scopes(api, options)
        named = sorted(further(events)) if further else ()
        return events + [event for key in named for event in await _read_named(api, key)]
    finally:
        await api.close()


async def read_scopes(api: Api, options: Options) -> list[Event]:
    """Every scope of these options, then what their objects name and that did not come yet."""
    events: list[Event] = []
    for scope in scopes_of(options):
        events += await _read_once(api, scope)
    applied = {event.key: event.object for event in events if isinstance(event, Applied)}
    named = {key for built in applied.values() for key in named_by(built, options)}
    named |= frozenset(filter(None, [options.default_ssl_certificate]))
    for key in sorted(named - applied.keys()):
        events += await _read_named(api, key)
    return events


async def _read_named(api: Api, key: ObjectKey) -> list[Event]:
    """The object, or nothing where it does not exist or may not be read."""
    try:
        found = await _read_once(api, Scope.of_object(key))
    except ApiForbidden:
        return []
    return [event for event in found if isinstance(event, Applied | Rejected)]


async def _read_once(api: Api, scope: Scope) -> list[Event]:
    try:
        return await _events_of(api, scope)
    except ApiForbidden:
        if scope.kind in DISPENSABLE:
            return [Unreadable(scope.kind)]
        raise


async def _events_of(api: Api, scope: Scope) -> list[Event]:
    events: list[Event] = []
    try:
        pages = [page async for page in list_pages(api, scope)]
    except ResourceExpired:
        pages = [page async for page in list_pages(api, scope, EVERYTHING)]
    except ValueError as error:
        raise ApiUnavailable(str(error)) from error
    for item in (item for page in pages for item in page.items):
        if item.object is not None:
            events.append(Applied(item.key, item.object))
        elif item.finding is not None:
            events.append(Rejected(item.key, item.finding))
    return [*events, Synced(scope.kind)]
