"""Names of things: which object, which field of it, which rule of an Ingress."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """The Kubernetes kinds that Headrace reads."""

    INGRESS = "Ingress"
    INGRESS_CLASS = "IngressClass"
    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    SECRET = "Secret"  # noqa: S105
    CONFIG_MAP = "ConfigMap"
    NAMESPACE = "Namespace"
    NODE = "Node"
    POD = "Pod"
    FILE = "File"
    """A file of manifests that is no YAML: the owner of the finding that says so. Not a kind of Kubernetes."""

    __hash__ = str.__hash__
    """Enum's own is written in Python, and every look at a dictionary of objects would run it."""


class ObjectKey(NamedTuple):
    """Identity of one object. `namespace` is empty for cluster-scoped kinds."""

    kind: Kind
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """`namespace/name`, or just the name of a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True, slots=True)
class FieldPath:
    """Where in an object: rendered as Kubernetes does it, e.g. `spec.rules[0].http.paths[2].path`."""

    text: str = ""

    def child(self, name: str) -> FieldPath:
        return FieldPath(f"{self.text}.{name}" if self.text else name)

    def index(self, position: int) -> FieldPath:
        return FieldPath(f"{self.text}[{position}]")

    def key(self, name: str) -> FieldPath:
        """A map entry whose key may hold dots or slashes, e.g. an annotation."""
        return FieldPath(f"{self.text}[{name}]")

    def __str__(self) -> str:
        return self.text


class RuleRef(NamedTuple):
    """One path of one rule. `rule` is -1 for `spec.defaultBackend`; `path` is -1 for a rule without paths."""

    ingress: ObjectKey
    rule: int
    path: int

    @property
    def field(self) -> FieldPath:
        if self.rule < 0:
            return FieldPath("spec.defaultBackend")
        rule = FieldPath("spec.rules").index(self.rule)
        return rule if self.path < 0 else rule.child("http.paths").index(self.path)
