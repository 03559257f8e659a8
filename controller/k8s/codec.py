"""Bytes and YAML documents into wire structs. One bad object is one Diagnostic, and never costs another."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from controller.k8s.core import ConfigMap, Namespace, Node, Secret, Service
from controller.k8s.endpointslice import EndpointSlice
from controller.k8s.ingress import Ingress, IngressClass
from controller.k8s.meta import ObjectMeta
from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.model.secretbytes import SecretBytes

Struct = Ingress | IngressClass | Service | EndpointSlice | Secret | ConfigMap | Namespace | Node

TYPES: dict[Kind, type[Struct]] = {
    Kind.INGRESS: Ingress,
    Kind.INGRESS_CLASS: IngressClass,
    Kind.SERVICE: Service,
    Kind.ENDPOINT_SLICE: EndpointSlice,
    Kind.SECRET: Secret,
    Kind.CONFIG_MAP: ConfigMap,
    Kind.NAMESPACE: Namespace,
    Kind.NODE: Node,
}
CLUSTER_SCOPED = frozenset({Kind.INGRESS_CLASS, Kind.NAMESPACE, Kind.NODE})
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Decoded(NamedTuple):
    """`object` is None where it cannot be read, and then `finding` says why."""

    key: ObjectKey
    object: Struct | None
    finding: Diagnostic | None = None


class _RawSecret(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    type: str = "Opaque"
    data: dict[str, str] | None = None
    stringData: dict[str, str] | None = None  # noqa: N815 - the API's spelling


class _Named(msgspec.Struct, frozen=True):
    name: Any = ""
    namespace: Any = ""


class _Whose(msgspec.Struct, frozen=True):
    metadata: _Named = _Named()


def decode_object(kind: Kind, raw: bytes | msgspec.Raw) -> Decoded:
    """One object as the API server writes it."""
    try:
        if kind is Kind.SECRET:
            built: Struct = _secret(msgspec.json.decode(raw, type=_RawSecret))
        else:
            built = msgspec.json.decode(raw, type=TYPES[kind])
        return _checked(kind, built)
    except (msgspec.DecodeError, ValueError) as error:
        return _rejected(_key_of(kind, raw), str(error))


def decode_document(kind: Kind, document: Mapping[str, Any]) -> Decoded:
    """One YAML or JSON document of a file. Nulls count as absent; the namespace defaults to `default`."""
    cleaned = _without_nulls(document)
    meta = cleaned.get("metadata")
    if isinstance(meta, dict):
        meta = cleaned["metadata"] = {**meta}
        if kind not in CLUSTER_SCOPED:
            meta.setdefault("namespace", "default")
        for field in ("creationTimestamp", "deletionTimestamp"):
            if isinstance(meta.get(field), datetime):
                meta[field] = meta[field].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        if kind is Kind.SECRET:
            built: Struct = _secret(msgspec.convert(cleaned, _RawSecret))
        else:
            built = msgspec.convert(cleaned, TYPES[kind])
        return _checked(kind, built)
    except (msgspec.ValidationError, ValueError) as error:
        names = meta if isinstance(meta, dict) else {}
        scope = "" if kind in CLUSTER_SCOPED else str(names.get("namespace", "default"))
        return _rejected(ObjectKey(kind, scope, str(names.get("name", "?"))), str(error))


def key_of(kind: Kind, built: Struct) -> ObjectKey:
    namespace = "" if kind in CLUSTER_SCOPED else built.metadata.namespace
    return ObjectKey(kind, namespace, built.metadata.name)


def _checked(kind: Kind, built: Struct) -> Decoded:
    key = key_of(kind, built)
    if not _SUBDOMAIN.fullmatch(key.name) or len(key.name) > 253:
        return _rejected(key, "Its name is not a DNS name - at `$.metadata.name`")
    if kind not in CLUSTER_SCOPED and not _LABEL.fullmatch(key.namespace):
        return _rejected(key, "Its namespace is not a DNS label - at `$.metadata.namespace`")
    return Decoded(key, built)


def _secret(raw: _RawSecret) -> Secret:
    data: dict[str, SecretBytes] = {}
    for name, text in (raw.data or {}).items():
        try:
            data[name] = SecretBytes(base64.b64decode(text, validate=False))
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"Not base64 - at `$.data[{name}]`") from error
    data |= {name: SecretBytes(text.encode()) for name, text in (raw.stringData or {}).items()}
    return Secret(metadata=raw.metadata, type=raw.type, data=data)


def _rejected(key: ObjectKey, message: str) -> Decoded:
    text, _, path = message.partition(" - at `$")
    field = FieldPath(path.rstrip("`").lstrip("."))
    finding = Diagnostic("object-unreadable", Severity.ERROR, key, field, text.rstrip(".") + ".", Effect.OBJECT_IGNORED)
    return Decoded(key, None, finding)


def _key_of(kind: Kind, raw: bytes | msgspec.Raw) -> ObjectKey:
    try:
        named = msgspec.json.decode(raw, type=_Whose).metadata
        return ObjectKey(kind, str(named.namespace or ""), str(named.name or "?"))
    except msgspec.DecodeError:
        return ObjectKey(kind, "", "?")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
