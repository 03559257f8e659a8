"""Who comes first when two Ingresses want the same thing. One function decides it everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from controller.k8s.ingress import Ingress

_NEVER = "9999-12-31T23:59:59Z"


def oldest_first(ingresses: Iterable[Ingress]) -> tuple[Ingress, ...]:
    """Ascending creation time; equal times in descending order of `namespace/name`, as ingress-nginx did.

    An object without a time (a manifest that was never applied) counts as youngest.
    """
    by_name = sorted(ingresses, key=lambda i: f"{i.metadata.namespace}/{i.metadata.name}", reverse=True)
    return tuple(sorted(by_name, key=lambda i: i.metadata.creation_timestamp or _NEVER))
