"""Every annotation has a verdict. This table holds the names and what happens where one is not carried out.

Verdicts:
- honoured: one of `HONOURED`, whose values `policies.py` reads;
- closes: a security setting of ingress-nginx that this version cannot honour. It is never skipped: the paths of the
  Ingress answer 503 and the owner is told;
- refused: it would put text into the nginx configuration;
- unsupported: it needs what stock nginx does not have; without effect, told;
- obsolete: without effect since long before ingress-nginx was retired; told once for all of an Ingress;
- silent: known and rightly without effect.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controller.model.features import Feature
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families import (
    access,
    affinity,
    backend_tls,
    balancing,
    basic_auth,
    canary,
    client_certificates,
    cors,
    error_pages,
    external_auth,
    logging,
    mirror,
    passthrough,
    protocols,
    proxying,
    redirects,
    response_headers,
    satisfy,
    server_ciphers,
)
from controller.translate.annotations.reader import Reader


class Verdict(StrEnum):
    HONOURED = "honoured"
    CLOSES = "closes"
    REFUSED = "refused"
    OBSOLETE = "obsolete"
    UNSUPPORTED = "unsupported"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Family:
    """Annotations that belong together, and what reads them all at once."""

    annotations: tuple[Annotation[Any], ...]
    read: Callable[[Reader], Iterable[Feature]]


FAMILIES: tuple[Family, ...] = (
    Family(client_certificates.ANNOTATIONS, client_certificates.read),
    Family(server_ciphers.ANNOTATIONS, server_ciphers.read),
    Family(logging.ANNOTATIONS, logging.read),
    Family(response_headers.ANNOTATIONS, response_headers.read),
    Family(redirects.ANNOTATIONS, redirects.read),
    Family(cors.ANNOTATIONS, cors.read),
    Family(access.ANNOTATIONS, access.read),
    Family(satisfy.ANNOTATIONS, satisfy.read),
    Family(basic_auth.ANNOTATIONS, basic_auth.read),
    Family(external_auth.ANNOTATIONS, external_auth.read),
    Family(mirror.ANNOTATIONS, mirror.read),
    Family(proxying.ANNOTATIONS, proxying.read),
    Family(protocols.ANNOTATIONS, protocols.read),
    Family(backend_tls.ANNOTATIONS, backend_tls.read),
    Family(passthrough.ANNOTATIONS, passthrough.read),
    Family(error_pages.ANNOTATIONS, error_pages.read),
)  # fmt: skip
"""In the order in which their features stand in a location. Error pages come last: they look at all others."""

REWRITE_TARGET = Annotation("rewrite-target", values.rewrite_target)
USE_REGEX = Annotation("use-regex", values.boolean)
SSL_REDIRECT = Annotation("ssl-redirect", values.boolean)
FORCE_SSL_REDIRECT = Annotation("force-ssl-redirect", values.boolean)
PRESERVE_TRAILING_SLASH = Annotation("preserve-trailing-slash", values.boolean)
ENABLE_ACCESS_LOG = Annotation("enable-access-log", values.boolean)
HOLD = Annotation("hold", values.boolean, ours=True)

HONOURED: tuple[Annotation[Any], ...] = (
    REWRITE_TARGET,
    USE_REGEX,
    SSL_REDIRECT,
    FORCE_SSL_REDIRECT,
    PRESERVE_TRAILING_SLASH,
    ENABLE_ACCESS_LOG,
    HOLD,
    *balancing.ANNOTATIONS,
    *affinity.ANNOTATIONS,
    *canary.ANNOTATIONS,
    *(annotation for family in FAMILIES for annotation in family.annotations),
)

_NAMES: dict[Verdict, str] = {
    Verdict.HONOURED: " ".join(annotation.name for annotation in HONOURED if not annotation.ours),
    Verdict.CLOSES: """
        enable-modsecurity enable-owasp-core-rules
    """,
    Verdict.REFUSED: """
        configuration-snippet server-snippet stream-snippet auth-snippet modsecurity-snippet
    """,
    Verdict.OBSOLETE: """
        session-cookie-hash add-base-url base-url-scheme upstream-max-fails upstream-fail-timeout
        secure-backends grpc-backend secure-verify-ca-secret
        enable-opentracing opentracing-trust-incoming-span opentracing-operation-name
        enable-influxdb influxdb-measurement influxdb-port influxdb-host influxdb-server-name
        global-rate-limit global-rate-limit-window global-rate-limit-key global-rate-limit-ignored-cidrs
        lua-resty-waf lua-resty-waf-debug lua-resty-waf-ignore-rulesets lua-resty-waf-extra-rules
        lua-resty-waf-allow-unknown-content-types lua-resty-waf-score-threshold lua-resty-waf-process-multipart-body
    """,
    Verdict.SILENT: "http2-push-preload",
    Verdict.UNSUPPORTED: """
        enable-opentelemetry opentelemetry-trust-incoming-span opentelemetry-operation-name modsecurity-transaction-id
    """,
}

VERDICTS: dict[str, Verdict] = {
    name: verdict for verdict in reversed(Verdict) for name in _NAMES.get(verdict, "").split()
}
"""By name without the prefix. Where a name stands twice, the verdict that the enumeration names first counts."""

HARMLESS = {
    "enable-modsecurity": "false",
    "enable-owasp-core-rules": "false",
    "enable-opentelemetry": "false",
}
"""The value, in any case, with which an annotation that closes or is refused asks for nothing."""

FIREWALL = frozenset({"enable-modsecurity", "enable-owasp-core-rules"})
"""Those that close do so unless the ConfigMap says `allow-missing-waf`."""

TOLD = {
    Verdict.CLOSES: "This protection is not available in this version, so the paths of this Ingress answer 503.",
    Verdict.REFUSED: "Text for the nginx configuration is never taken from an annotation.",
    Verdict.OBSOLETE: "It had no effect in the last versions of ingress-nginx, and has none here.",
    Verdict.UNSUPPORTED: "This annotation is not carried out in this version.",
}
"""What the owner of an Ingress is told."""

_NO_TRACING = "Stock nginx has no module for tracing."
UNSUPPORTED_TOLD = {
    "modsecurity-transaction-id": "Stock nginx has no web application firewall.",
    "enable-opentelemetry": _NO_TRACING,
    "opentelemetry-trust-incoming-span": _NO_TRACING,
    "opentelemetry-operation-name": _NO_TRACING,
}
"""The reason, where there is one to tell."""

_WAF = "No web application firewall runs: put one in front, or in the pod."
_TRACE = "Trace in the pod, or in a sidecar; the request id reaches it as X-Request-ID."
_LIMITS = "Use limit-rps or limit-rpm, and limit-divide-by-replicas in the ConfigMap."
INSTEAD = {
    "secure-backends": "Use backend-protocol: HTTPS.",
    "grpc-backend": "Use backend-protocol: GRPC.",
    "secure-verify-ca-secret": "Use proxy-ssl-secret and proxy-ssl-verify.",
    "auth-snippet": "Use auth-proxy-set-headers.",
    "stream-snippet": "Use the ConfigMaps of TCP and UDP services.",
    **dict.fromkeys(("modsecurity-snippet", "modsecurity-transaction-id", "lua-resty-waf"), _WAF),
    **dict.fromkeys(("enable-opentelemetry", "enable-opentracing", "enable-influxdb"), _TRACE),
    "global-rate-limit": _LIMITS,
    "session-cookie-hash": "Remove it: the cookie of affinity needs no choice of a hash.",
}
"""What to use now."""

UNKNOWN_TOLD = "There is no such annotation."

OUR_ANNOTATIONS = frozenset(annotation.name for annotation in HONOURED if annotation.ours)


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like this one, or None where none does."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.75)
    return close[0] if close else None
