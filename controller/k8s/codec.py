"""Bytes and YAML documents into wire structs.

Guarantees: one bad object is one Diagnostic that names its field, and never costs another object; no value of an object
stands in a message, so no Secret can leak through one. Names that are not DNS names are refused here, so everything
behind the codec may use them in file names and DNS names.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from controller.k8s.core import ConfigMap, Namespace, Node, Pod, Secret, Service
from controller.k8s.endpointslice import EndpointSlice
from controller.k8s.ingress import Ingress, IngressClass
from controller.k8s.meta import ObjectMeta
from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.model.secretbytes import SecretBytes

Struct = Ingress | IngressClass | Service | EndpointSlice | Secret | ConfigMap | Namespace | Node | Pod

TYPES: dict[Kind, type[Struct]] = {
    Kind.INGRESS: Ingress,
    Kind.INGRESS_CLASS: IngressClass,
    Kind.SERVICE: Service,
    Kind.ENDPOINT_SLICE: EndpointSlice,
    Kind.SECRET: Secret,
    Kind.CONFIG_MAP: ConfigMap,
    Kind.NAMESPACE: Namespace,
    Kind.NODE: Node,
    Kind.POD: Pod,
}
CLUSTER_SCOPED = frozenset({Kind.INGRESS_CLASS, Kind.NAMESPACE, Kind.NODE})
NAMELESS = "?"
"""Stands for the name of an object that has none."""

_LABELS_ONLY = frozenset({Kind.SERVICE, Kind.NAMESPACE})
"""Kinds whose names are a single DNS label; all others may have dots."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_TIMES = ("creationTimestamp", "deletionTimestamp")


class Decoded(NamedTuple):
    """`object` is None where it cannot be read, and then `finding` says why. `version` is its resourceVersion."""

    key: ObjectKey
    object: Struct | None
    finding: Diagnostic | None = None
    version: str = ""


class _RawSecret(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    type: str = "Opaque"
    data: dict[str, str] | None = None
    stringData: dict[str, str] | None = None  # noqa: N815 - the API's spelling


def decode_object(kind: Kind, raw: bytes | msgspec.Raw) -> Decoded:
    """One object as the API server writes it (JSON). Nulls count as absent."""
    try:
        if kind is Kind.SECRET:
            return _checked(kind, _secret(msgspec.json.decode(raw, type=_RawSecret)))
        return _checked(kind, msgspec.json.decode(raw, type=TYPES[kind]))
    except ValueError:  # msgspec's errors are such
        return _decode_again(kind, raw)


def decode_document(kind: Kind, document: Mapping[str, Any]) -> Decoded:
    """One document of a file, parsed already. Nulls count as absent; the namespace defaults to `default`.

    Like kubectl, it refuses a number or a boolean where the API has text: quotes are missing there.
    """
    cleaned = without_nulls(document)
    meta = cleaned.get("metadata")
    if isinstance(meta, dict):
        if kind not in CLUSTER_SCOPED:
            meta.setdefault("namespace", "default")
        for field in _TIMES:
            if isinstance(meta.get(field), datetime):
                meta[field] = _rfc3339(meta[field])
    return _convert(kind, cleaned)


def key_of(kind: Kind, built: Struct) -> ObjectKey:
    namespace = "" if kind in CLUSTER_SCOPED else built.metadata.namespace
    return ObjectKey(kind, namespace, built.metadata.name)


def without_nulls(value: Any) -> Any:
    """A copy in which no mapping or list holds a null."""
    if isinstance(value, Mapping):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value


def unreadable(key: ObjectKey, message: str, field: str = "") -> Diagnostic:
    """The finding for an object that cannot be read."""
    return Diagnostic("object-unreadable", Severity.ERROR, key, FieldPath(field), message, Effect.OBJECT_IGNORED)


def _decode_again(kind: Kind, raw: bytes | msgspec.Raw) -> Decoded:
    """The slow way, for nulls that the structs do not expect and to say whose the faulty object is."""
    try:
        plain = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        return _rejected(ObjectKey(kind, "", NAMELESS), str(error))
    if not isinstance(plain, dict):
        return _rejected(ObjectKey(kind, "", NAMELESS), "Expected `object`")
    return _convert(kind, without_nulls(plain))


def _convert(kind: Kind, cleaned: dict[str, Any]) -> Decoded:
    try:
        if kind is Kind.SECRET:
            return _checked(kind, _secret(msgspec.convert(cleaned, _RawSecret)))
        return _checked(kind, msgspec.convert(cleaned, TYPES[kind]))
    except ValueError as error:  # msgspec's errors are such
        return _rejected(_loose_key(kind, cleaned), str(error), _loose_version(cleaned))


def _checked(kind: Kind, built: Struct) -> Decoded:
    key, version = key_of(kind, built), built.metadata.resource_version
    if not _is_name(key.name, label=kind in _LABELS_ONLY):
        return _rejected(key, "Its name is not a DNS name (RFC 1123) - at `$.metadata.name`", version)
    if kind not in CLUSTER_SCOPED and not _is_name(key.namespace, label=True):
        return _rejected(key, "Its namespace is not a DNS label (RFC 1123) - at `$.metadata.namespace`", version)
    return Decoded(key, built, None, version)


@lru_cache(maxsize=4096)
def _is_name(text: str, *, label: bool) -> bool:
    return bool((_LABEL if label else _SUBDOMAIN).fullmatch(text)) and len(text) <= 253


def _secret(raw: _RawSecret) -> Secret:
    data = {name: _from_base64(name, text) for name, text in (raw.data or {}).items()}
    data |= {name: SecretBytes(text.encode()) for name, text in (raw.stringData or {}).items()}
    return Secret(metadata=raw.metadata, type=raw.type, data=data)


def _from_base64(name: str, text: str) -> SecretBytes:
    try:
        return SecretBytes(base64.b64decode("".join(text.split("\n")), validate=True))
    except binascii.Error as error:
        raise ValueError(f"Not base64; clear text goes into stringData - at `$.data[{name}]`") from error


def _rejected(key: ObjectKey, message: str, version: str = "") -> Decoded:
    text, _, path = message.partition(" - at `$")
    return Decoded(key, None, unreadable(key, text.rstrip(".") + ".", path.rstrip("`").lstrip(".")), version)


def _loose_key(kind: Kind, cleaned: Mapping[str, Any]) -> ObjectKey:
    """Whose object it is, as far as one can tell."""
    meta = cleaned.get("metadata")
    names = meta if isinstance(meta, Mapping) else {}
    namespace = "" if kind in CLUSTER_SCOPED else str(names.get("namespace", ""))
    return ObjectKey(kind, namespace, str(names.get("name", NAMELESS)))


def _loose_version(cleaned: Mapping[str, Any]) -> str:
    meta = cleaned.get("metadata")
    return str(meta.get("resourceVersion", "")) if isinstance(meta, Mapping) else ""


def _rfc3339(time: datetime) -> str:
    """As the API server writes it; a time without zone is UTC."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%SZ")
