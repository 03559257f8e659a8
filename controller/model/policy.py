"""Typed values of what annotations and the ConfigMap ask for. Nothing here is text for nginx yet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HttpsRedirect(StrEnum):
    """When a plain-HTTP request is sent to HTTPS."""

    NEVER = "never"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`rewrite-target`: `pattern` (PCRE, case-insensitive) is replaced by `target`, whose `$1`..`$9` are groups."""

    pattern: str
    target: str


@dataclass(frozen=True, slots=True)
class LocationPolicy:
    """What a location does besides choosing a backend. The defaults change nothing."""

    https_redirect: HttpsRedirect = HttpsRedirect.NEVER
    preserve_trailing_slash: bool = False
    port_in_redirect: bool = False
    rewrite: Rewrite | None = None
    access_log: bool = True
    hold: bool = True
