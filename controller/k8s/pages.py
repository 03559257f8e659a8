"""What list and watch requests answer: pages of objects, and one line of JSON for each change.

The items of a page stay raw until each is decoded by itself, so one bad object costs itself alone.
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from controller.k8s.codec import Decoded, decode_object
from controller.model.refs import Kind

GARBAGE = (ValueError, RecursionError)
"""What decoding raises: msgspec's errors and bytes that are no UTF-8 are values, brackets without end are not."""


class Page(NamedTuple):
    """`more` is the token that asks for the next page, empty on the last. `version` is where a watch may begin."""

    items: tuple[Decoded, ...]
    version: str
    more: str


class Verb(StrEnum):
    APPLIED = "applied"
    DELETED = "deleted"
    BOOKMARK = "bookmark"
    EXPIRED = "expired"
    FAILED = "failed"


class Line(NamedTuple):
    """One line of a watch. `version` is empty where the server named none; `reason` is for EXPIRED and FAILED."""

    verb: Verb
    decoded: Decoded | None = None
    version: str = ""
    reason: str = ""


class NotKubernetes(ValueError):
    """The bytes are not what the API answers: most likely a proxy between us spoke."""


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(name="continue", default=None)


class _List(msgspec.Struct, frozen=True):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct, frozen=True):
    code: int = 0
    reason: str = ""
    message: str = ""


class _Marked(msgspec.Struct, frozen=True):
    metadata: _ListMeta = _ListMeta()


def decode_page(kind: Kind, body: bytes) -> Page:
    """Raises `NotKubernetes`."""
    try:
        found = msgspec.json.decode(body, type=_List)
    except GARBAGE as error:
        raise NotKubernetes(f"no list of {kind}: {error}") from error
    if not found.metadata.resource_version:
        raise NotKubernetes(f"no list of {kind}: it has no version")
    items = tuple(decode_object(kind, raw) for raw in found.items or ())
    return Page(items, found.metadata.resource_version, found.metadata.continue_ or "")


def decode_line(kind: Kind, line: bytes) -> Line:
    """Raises `NotKubernetes`."""
    try:
        event = msgspec.json.decode(line, type=_Event)
        match event.type:
            case "ADDED" | "MODIFIED" | "DELETED":
                decoded = decode_object(kind, event.object)
                return Line(Verb.DELETED if event.type == "DELETED" else Verb.APPLIED, decoded, decoded.version)
            case "BOOKMARK":
                mark = msgspec.json.decode(event.object, type=_Marked)
                return Line(Verb.BOOKMARK, version=mark.metadata.resource_version)
            case "ERROR":
                return _failure(msgspec.json.decode(event.object, type=_Status))
    except GARBAGE as error:
        raise NotKubernetes(f"no watch event of {kind}: {error}") from error
    raise NotKubernetes(f"unknown type of watch event: {event.type[:40]!r}")


def _failure(status: _Status) -> Line:
    expired = status.code == 410 or status.reason in ("Expired", "Gone")
    return Line(Verb.EXPIRED if expired else Verb.FAILED, reason=status.message or status.reason or str(status.code))
