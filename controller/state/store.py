"""All objects that were read, and what a change to one of them means. Owned by the event loop.

`apply` compares before it says "changed": what differs in resourceVersion, managed fields, generation or status alone
means nothing to traffic. An object that cannot be read keeps its last readable version in force.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec

from controller.k8s.codec import Struct
from controller.k8s.core import Node, Pod, Service, ServiceStatus
from controller.k8s.endpointslice import EndpointSlice
from controller.k8s.ingress import Ingress, IngressStatus
from controller.model.diagnostics import Diagnostic, Effect
from controller.model.refs import Kind, ObjectKey
from controller.state.events import Applied, Deleted, Event, Rejected, Synced, Unreadable
from controller.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """`config`: the configuration may differ now. `services`: whose endpoints may differ now."""

    config: bool = False
    services: tuple[ObjectKey, ...] = ()


NOTHING = Change()

DISPENSABLE = frozenset({Kind.INGRESS_CLASS, Kind.SECRET, Kind.NODE, Kind.POD})
"""Kinds without which a configuration can be right: classes by annotation, Secrets by name.

One made without Ingresses, Services, endpoints or settings would take down what is served: rather wait for the
right."""


@dataclass(slots=True)
class Store:
    """`expected` kinds must be synced before `ready`."""

    expected: frozenset[Kind]
    synced: set[Kind] = field(default_factory=set)
    unreadable: set[Kind] = field(default_factory=set)
    _objects: dict[Kind, dict[ObjectKey, Struct]] = field(default_factory=lambda: {kind: {} for kind in Kind})
    _findings: dict[ObjectKey, tuple[Diagnostic, ...]] = field(default_factory=dict)
    _slices: dict[ObjectKey, dict[ObjectKey, EndpointSlice]] = field(default_factory=dict)
    _views: dict[Kind | None, dict[ObjectKey, Any]] = field(default_factory=dict)
    """Copies for snapshots, by kind, None for findings: each until something changes."""

    @property
    def ready(self) -> bool:
        return self.expected <= self.synced

    @property
    def waiting_for(self) -> tuple[Kind, ...]:
        return tuple(sorted(self.expected - self.synced))

    def apply(self, event: Event) -> Change:
        """Take the event in, and say what it may have changed."""
        match event:
            case Applied(key, built, findings):
                return self._applied(key, built, findings)
            case Deleted(key):
                return self._deleted(key)
            case Rejected(key, finding):
                return self._rejected(key, finding)
            case Synced(kind):
                changed = kind not in self.synced or kind in self.unreadable
                self.synced.add(kind)
                self.unreadable.discard(kind)
                return Change(config=changed)
            case Unreadable(kind):
                changed = kind not in self.unreadable
                self.unreadable.add(kind)
                if kind in DISPENSABLE:
                    self.synced.add(kind)
                return Change(config=changed)

    def count(self, kind: Kind) -> int:
        return len(self._objects[kind])

    def object(self, key: ObjectKey) -> Struct | None:
        return self._objects[key.kind].get(key)

    def service(self, key: ObjectKey) -> Service | None:
        found = self._objects[Kind.SERVICE].get(key)
        return found if isinstance(found, Service) else None

    def services(self) -> tuple[ObjectKey, ...]:
        return tuple(self._objects[Kind.SERVICE])

    def ingresses(self) -> dict[ObjectKey, Ingress]:
        return cast("dict[ObjectKey, Ingress]", dict(self._objects[Kind.INGRESS]))

    def slices_of(self, service: ObjectKey) -> tuple[EndpointSlice, ...]:
        """In the order of their names."""
        return tuple(piece for _, piece in sorted(self._slices.get(service, {}).items()))

    def snapshot(self) -> Snapshot:
        """A frozen view. What did not change since the last one is the same dictionary in both.

        The codec gives every key an object of its kind.
        """
        return Snapshot(
            ingresses=self._view(Kind.INGRESS),
            classes=self._view(Kind.INGRESS_CLASS),
            services=self._view(Kind.SERVICE),
            secrets=self._view(Kind.SECRET),
            configmaps=self._view(Kind.CONFIG_MAP),
            namespaces=self._view(Kind.NAMESPACE),
            findings=self._view(None),
            unreadable=frozenset(self.unreadable),
        )

    def _view(self, kind: Kind | None) -> dict[ObjectKey, Any]:
        if kind not in self._views:
            self._views[kind] = dict(self._findings if kind is None else self._objects[kind])
        return self._views[kind]

    def _applied(self, key: ObjectKey, built: Struct, findings: tuple[Diagnostic, ...]) -> Change:
        before = self._objects[key.kind].get(key)
        retold = self._tell(key, findings)
        self._objects[key.kind][key] = built
        self._views.pop(key.kind, None)
        if isinstance(built, EndpointSlice):
            return Change(retold, self._file_slice(key, before, built))
        if isinstance(built, Node | Pod) or (before is not None and essence(before) == essence(built)):
            return Change(retold)
        return Change(config=True, services=_own_endpoints(key))

    def _deleted(self, key: ObjectKey) -> Change:
        before = self._objects[key.kind].pop(key, None)
        self._views.pop(key.kind, None)
        retold = self._tell(key, ())
        if before is None or isinstance(before, Node | Pod):
            return Change(retold)
        if isinstance(before, EndpointSlice):
            return Change(retold, self._unfile_slice(key, before))
        return Change(config=True, services=_own_endpoints(key))

    def _rejected(self, key: ObjectKey, finding: Diagnostic) -> Change:
        if key in self._objects[key.kind] and finding.effect is Effect.OBJECT_IGNORED:
            finding = replace(finding, effect=Effect.PREVIOUS_VERSION_SERVED)
        return Change(config=self._tell(key, (finding,)))

    def _tell(self, key: ObjectKey, findings: tuple[Diagnostic, ...]) -> bool:
        """Whether that is news."""
        told = self._findings.pop(key, ())
        if findings:
            self._findings[key] = findings
        if told or findings:
            self._views.pop(None, None)
        return told != findings

    def _file_slice(self, key: ObjectKey, before: Struct | None, built: EndpointSlice) -> tuple[ObjectKey, ...]:
        moved: tuple[ObjectKey, ...] = ()
        if isinstance(before, EndpointSlice):
            if _addresses(before) == _addresses(built):
                self._slices.setdefault(_owner(built), {})[key] = built
                return ()
            if _owner(before) != _owner(built):
                moved = self._unfile_slice(key, before)
        if not built.service_name:
            return moved
        self._slices.setdefault(_owner(built), {})[key] = built
        return (*moved, _owner(built))

    def _unfile_slice(self, key: ObjectKey, piece: EndpointSlice) -> tuple[ObjectKey, ...]:
        owner = _owner(piece)
        filed = self._slices.get(owner, {})
        filed.pop(key, None)
        if not filed:
            self._slices.pop(owner, None)
        return (owner,) if piece.service_name else ()


def _own_endpoints(key: ObjectKey) -> tuple[ObjectKey, ...]:
    """The ports of a Service decide what its endpoints come to."""
    return (key,) if key.kind is Kind.SERVICE else ()


def _owner(piece: EndpointSlice) -> ObjectKey:
    return ObjectKey(Kind.SERVICE, piece.metadata.namespace, piece.service_name)


def _addresses(piece: EndpointSlice) -> tuple[object, ...]:
    """The endpoints controller stamps each write into an annotation, which means nothing to traffic."""
    return (piece.service_name, piece.address_type, piece.endpoints, piece.ports)


def essence(built: Struct) -> Struct:
    """The object without what changes all the time and means nothing to traffic."""
    meta = msgspec.structs.replace(built.metadata, resource_version="", generation=0)
    plain = msgspec.structs.replace(built, metadata=meta)
    if isinstance(plain, Ingress):
        return msgspec.structs.replace(plain, status=IngressStatus())
    if isinstance(plain, Service):
        return msgspec.structs.replace(plain, status=ServiceStatus())
    return plain
