"""Lease of coordination.k8s.io/v1: who leads, and until when.

https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/
"""

from __future__ import annotations

from typing import Any

import msgspec

from controller.k8s.meta import Wire


class LeaseMeta(Wire, frozen=True, omit_defaults=True):
    name: str
    namespace: str = ""
    resource_version: str = ""


class LeaseSpec(Wire, frozen=True):
    """Times are MicroTime text, RFC 3339 with microseconds. The duration is in seconds."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Wire, frozen=True):
    metadata: LeaseMeta
    spec: LeaseSpec = LeaseSpec()


class _Document(Wire, frozen=True):
    metadata: LeaseMeta
    spec: LeaseSpec
    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"


def decode_lease(body: bytes) -> Lease:
    """Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(body, type=Lease)


def document_of(lease: Lease) -> dict[str, Any]:
    """What to send to create or replace it."""
    document: dict[str, Any] = msgspec.to_builtins(_Document(lease.metadata, lease.spec))
    return document
