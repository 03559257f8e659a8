"""A snapshot that remembers what was asked of it.

All of `translate` looks at other objects through this, also at those that do not exist. So what a piece of work depends
on is known without writing it down twice, and the work is done again when one of these objects is another one, and only
then.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.k8s.core import ConfigMap, Namespace, Secret, Service
from controller.k8s.ingress import IngressClass
from controller.model.refs import Kind, ObjectKey
from controller.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class View:
    """`asked`: the keys of all objects that were looked up, found or not."""

    snapshot: Snapshot
    asked: set[ObjectKey] = field(default_factory=set)

    def service(self, key: ObjectKey) -> Service | None:
        self.asked.add(key)
        return self.snapshot.services.get(key)

    def secret(self, key: ObjectKey) -> Secret | None:
        self.asked.add(key)
        return self.snapshot.secrets.get(key)

    def configmap(self, key: ObjectKey) -> ConfigMap | None:
        self.asked.add(key)
        return self.snapshot.configmaps.get(key)

    def namespace(self, name: str) -> Namespace | None:
        key = ObjectKey(Kind.NAMESPACE, "", name)
        self.asked.add(key)
        return self.snapshot.namespaces.get(key)

    def ingress_class(self, name: str) -> IngressClass | None:
        key = ObjectKey(Kind.INGRESS_CLASS, "", name)
        self.asked.add(key)
        return self.snapshot.classes.get(key)
