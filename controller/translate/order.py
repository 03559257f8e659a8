"""Who comes first when two Ingresses want the same thing. One function decides it everywhere."""

from __future__ import annotations

from typing import NamedTuple

from controller.k8s.ingress import Ingress

_NEVER = "9999-12-31T23:59:59Z"
_REVERSED = bytes(255 - byte for byte in range(256))
_END = b"\xff"
"""Greater than every reversed byte of UTF-8, so that of two names the longer one comes first."""


class Age(NamedTuple):
    """Ascending ages are ascending creation times; equal times in descending order of `namespace/name`, as
    ingress-nginx did. An object without a time (a manifest that was never applied) counts as youngest."""

    created: str
    name: bytes

    @classmethod
    def of(cls, ingress: Ingress) -> Age:
        meta = ingress.metadata
        name = f"{meta.namespace}/{meta.name}".encode().translate(_REVERSED)
        return cls(meta.creation_timestamp or _NEVER, name + _END)
