"""What is different between two snapshots, as keys of objects.

Compared by identity first: the store hands out the same dictionary where nothing of a kind has changed, and the same
object where one has not. An object that was read anew and means the same to traffic has not changed either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from controller.k8s.codec import Struct
from controller.model.deltas import delta
from controller.model.refs import ObjectKey
from controller.state.snapshot import Snapshot
from controller.state.store import essence

S = TypeVar("S", bound=Struct)


def changed_objects(before: Snapshot, after: Snapshot) -> set[ObjectKey]:
    """Keys of objects that came, went, or are not what they were."""
    return {
        *_changed(before.ingresses, after.ingresses),
        *_changed(before.services, after.services),
        *_changed(before.secrets, after.secrets),
        *_changed(before.configmaps, after.configmaps),
        *_changed(before.namespaces, after.namespaces),
        *_changed(before.classes, after.classes),
    }


def _changed(before: Mapping[ObjectKey, S], after: Mapping[ObjectKey, S]) -> Iterator[ObjectKey]:
    for key, value in delta(before, after).items():
        known = before.get(key)
        if known is None or value is None or essence(known) != essence(value):
            yield key
