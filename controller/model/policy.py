"""Typed values of what annotations and the ConfigMap ask for. Nothing here is text for nginx yet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.model.features import LocationFeature


class HttpsRedirect(StrEnum):
    """When a plain-HTTP request is sent to HTTPS."""

    NEVER = "never"
    ALWAYS = "always"


class Protocol(StrEnum):
    """What is spoken with the pods (`backend-protocol`). `AUTO_HTTP` is the client's own scheme."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    AUTO_HTTP = "AUTO_HTTP"
    GRPC = "GRPC"
    GRPCS = "GRPCS"
    FCGI = "FCGI"


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`rewrite-target`: `pattern` (PCRE, case-insensitive) is replaced by `target`, whose `$1`..`$9` are groups."""

    pattern: str
    target: str


@dataclass(frozen=True, slots=True)
class LocationPolicy:
    """What a location does besides choosing a backend. The defaults change nothing.

    `features`: those of the families, in the order in which the families are registered.
    """

    https_redirect: HttpsRedirect = HttpsRedirect.NEVER
    preserve_trailing_slash: bool = False
    rewrite: Rewrite | None = None
    access_log: bool = True
    hold: bool = True
    protocol: Protocol = Protocol.HTTP
    features: tuple[LocationFeature, ...] = ()
