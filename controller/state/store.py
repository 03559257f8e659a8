"""All objects that were read, and what a change to one of them means. Owned by the event loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from controller.k8s.codec import Struct
from controller.k8s.core import ConfigMap, Namespace, Node, Secret, Service
from controller.k8s.endpointslice import EndpointSlice
from controller.k8s.ingress import Ingress, IngressClass, IngressStatus
from controller.model.diagnostics import Diagnostic
from controller.model.refs import Kind, ObjectKey
from controller.state.events import Applied, Deleted, Event, Rejected, Synced, Unreadable
from controller.state.snapshot import Snapshot


class Effect(StrEnum):
    NONE = "none"
    CONFIG = "config"
    ENDPOINTS = "endpoints"


@dataclass(frozen=True, slots=True)
class Change:
    """`config`: the configuration may differ now. `services`: whose endpoints may differ now."""

    config: bool = False
    services: tuple[ObjectKey, ...] = ()


NOTHING = Change()


@dataclass(slots=True)
class Store:
    """`expected` kinds must be synced before `ready`."""

    expected: frozenset[Kind]
    synced: set[Kind] = field(default_factory=set)
    unreadable: set[Kind] = field(default_factory=set)
    _objects: dict[Kind, dict[ObjectKey, Struct]] = field(default_factory=lambda: {kind: {} for kind in Kind})
    _findings: dict[ObjectKey, tuple[Diagnostic, ...]] = field(default_factory=dict)
    _slices: dict[ObjectKey, dict[ObjectKey, EndpointSlice]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return self.expected <= self.synced

    @property
    def waiting_for(self) -> tuple[Kind, ...]:
        return tuple(sorted(self.expected - self.synced))

    def apply(self, event: Event) -> Change:
        match event:
            case Applied(key, built, findings):
                return self._applied(key, built, findings)
            case Deleted(key):
                return self._deleted(key)
            case Rejected(key, finding):
                changed = self._findings.get(key) != (finding,)
                self._findings[key] = (finding,)
                return Change(config=changed)
            case Synced(kind):
                self.synced.add(kind)
                return Change(config=True)
            case Unreadable(kind):
                self.unreadable.add(kind)
                self.synced.add(kind)
                return Change(config=True)

    def count(self, kind: Kind) -> int:
        return len(self._objects[kind])

    def service(self, key: ObjectKey) -> Service | None:
        found = self._objects[Kind.SERVICE].get(key)
        return found if isinstance(found, Service) else None

    def services(self) -> tuple[ObjectKey, ...]:
        return tuple(self._objects[Kind.SERVICE])

    def ingresses(self) -> dict[ObjectKey, Ingress]:
        return {k: v for k, v in self._objects[Kind.INGRESS].items() if isinstance(v, Ingress)}

    def slices_of(self, service: ObjectKey) -> tuple[EndpointSlice, ...]:
        """In the order of their names."""
        return tuple(piece for _, piece in sorted(self._slices.get(service, {}).items()))

    def snapshot(self) -> Snapshot:
        """A frozen view; costs a copy of the dictionaries."""
        of = self._objects
        return Snapshot(
            ingresses={k: v for k, v in of[Kind.INGRESS].items() if isinstance(v, Ingress)},
            classes={k: v for k, v in of[Kind.INGRESS_CLASS].items() if isinstance(v, IngressClass)},
            services={k: v for k, v in of[Kind.SERVICE].items() if isinstance(v, Service)},
            secrets={k: v for k, v in of[Kind.SECRET].items() if isinstance(v, Secret)},
            configmaps={k: v for k, v in of[Kind.CONFIG_MAP].items() if isinstance(v, ConfigMap)},
            namespaces={k: v for k, v in of[Kind.NAMESPACE].items() if isinstance(v, Namespace)},
            findings=dict(self._findings),
            unreadable=frozenset(self.unreadable),
        )

    def _applied(self, key: ObjectKey, built: Struct, findings: tuple[Diagnostic, ...]) -> Change:
        before = self._objects[key.kind].get(key)
        told = self._findings.pop(key, ())
        if findings:
            self._findings[key] = findings
        self._objects[key.kind][key] = built
        if isinstance(built, EndpointSlice):
            return Change(services=self._file_slice(key, before, built))
        if isinstance(built, Node):
            return NOTHING
        if told == findings and before is not None and _essence(before) == _essence(built):
            return NOTHING
        return Change(config=True, services=(key,) if key.kind is Kind.SERVICE else ())

    def _file_slice(self, key: ObjectKey, before: Struct | None, built: EndpointSlice) -> tuple[ObjectKey, ...]:
        owner = _owner(built)
        old = _owner(before) if isinstance(before, EndpointSlice) else None
        if before is not None and old == owner and _essence(before) == _essence(built):
            return ()
        if old and old != owner:
            self._slices.get(old, {}).pop(key, None)
        self._slices.setdefault(owner, {})[key] = built
        return tuple(dict.fromkeys(o for o in (old, owner) if o))

    def _deleted(self, key: ObjectKey) -> Change:
        before = self._objects[key.kind].pop(key, None)
        told = self._findings.pop(key, None)
        if before is None:
            return Change(config=told is not None)
        if isinstance(before, EndpointSlice):
            owner = _owner(before)
            self._slices.get(owner, {}).pop(key, None)
            return Change(services=(owner,))
        if isinstance(before, Node):
            return NOTHING
        return Change(config=True, services=(key,) if key.kind is Kind.SERVICE else ())


def _owner(piece: EndpointSlice) -> ObjectKey:
    return ObjectKey(Kind.SERVICE, piece.metadata.namespace, piece.service_name)


def _essence(built: Struct) -> Struct:
    """The object without what changes all the time and means nothing to traffic."""
    meta = msgspec.structs.replace(built.metadata, resource_version="", generation=0)
    plain = msgspec.structs.replace(built, metadata=meta)
    return msgspec.structs.replace(plain, status=IngressStatus()) if isinstance(plain, Ingress) else plain
