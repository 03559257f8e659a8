"""What a source tells the store."""

from __future__ import annotations

from typing import NamedTuple

from controller.k8s.codec import Struct
from controller.model.diagnostics import Diagnostic
from controller.model.refs import Kind, ObjectKey


class Applied(NamedTuple):
    """The object is now like this. `findings` are what decoding has to say about it (legacy versions)."""

    key: ObjectKey
    object: Struct
    findings: tuple[Diagnostic, ...] = ()


class Deleted(NamedTuple):
    """The object is gone."""

    key: ObjectKey


class Rejected(NamedTuple):
    """The object cannot be read; a version that was read before stays in force."""

    key: ObjectKey
    finding: Diagnostic


class Synced(NamedTuple):
    """All objects of the kind that exist now have been told."""

    kind: Kind


class Unreadable(NamedTuple):
    """We may not list this kind. Counts as synced where one can do without it (`store.DISPENSABLE`)."""

    kind: Kind


Event = Applied | Deleted | Rejected | Synced | Unreadable
