"""Who may use a location, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.features import LocationFeature


@dataclass(frozen=True, slots=True)
class AccessLists(LocationFeature):
    """Networks in canonical form. `denied` comes first; where `allowed` holds something, nobody else is let in."""

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits(LocationFeature):
    """Limits for each client, shared by all locations of one Ingress (`owner`: `namespace/name`). 0 is no limit.

    Requests a second, requests a minute (each with its `burst`, in requests), connections at a time. Clients of
    `exempt` are not counted. Each replica of the controller counts for itself and gives a share of 1 / `replicas`.
    """

    owner: str
    per_second: int = 0
    per_minute: int = 0
    connections: int = 0
    burst_of_second: int = 0
    burst_of_minute: int = 0
    exempt: tuple[str, ...] = ()
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Bandwidth(LocationFeature):
    """Kilobytes a second for each connection, after the first `after` kilobytes. None is the ConfigMap's value."""

    rate: int | None = None
    after: int | None = None
