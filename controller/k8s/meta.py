"""What all Kubernetes objects share, reduced to the fields that Headrace reads."""

from __future__ import annotations

import msgspec


class Wire(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Base of all wire types: immutable, unknown fields skipped, camelCase on the wire.

    `gc=False`: thousands of small acyclic objects; a full collection over them would stall the loop.
    """


class ObjectMeta(Wire, frozen=True):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/"""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
