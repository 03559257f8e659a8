"""Which objects one list or watch is about, and the path of the API that has them."""

from __future__ import annotations

from typing import NamedTuple

from controller.model.refs import Kind, ObjectKey

_RESOURCES = {
    Kind.INGRESS: ("/apis/networking.k8s.io/v1", "ingresses"),
    Kind.INGRESS_CLASS: ("/apis/networking.k8s.io/v1", "ingressclasses"),
    Kind.ENDPOINT_SLICE: ("/apis/discovery.k8s.io/v1", "endpointslices"),
    Kind.SERVICE: ("/api/v1", "services"),
    Kind.SECRET: ("/api/v1", "secrets"),
    Kind.CONFIG_MAP: ("/api/v1", "configmaps"),
    Kind.NAMESPACE: ("/api/v1", "namespaces"),
    Kind.NODE: ("/api/v1", "nodes"),
    Kind.POD: ("/api/v1", "pods"),
}


class Scope(NamedTuple):
    """One kind; everything of it, or what is in a namespace and fits the selectors."""

    kind: Kind
    namespace: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @classmethod
    def of_object(cls, key: ObjectKey) -> Scope:
        """One object by its name. RBAC allows it by `resourceNames` too."""
        return cls(key.kind, key.namespace, field_selector=f"metadata.name={key.name}")

    @property
    def path(self) -> str:
        return collection_path(self.kind, self.namespace)

    @property
    def selectors(self) -> list[tuple[str, str]]:
        """Parameters of the query."""
        given = (("fieldSelector", self.field_selector), ("labelSelector", self.label_selector))
        return [(name, text) for name, text in given if text]

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind}{where}" + "".join(f" with {text}" for _, text in self.selectors)


def collection_path(kind: Kind, namespace: str = "") -> str:
    base, plural = _RESOURCES[kind]
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


def object_path(key: ObjectKey) -> str:
    return f"{collection_path(key.kind, key.namespace)}/{key.name}"
