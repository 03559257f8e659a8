"""Every annotation has a verdict. This table holds the names and what happens where one is not carried out.

Verdicts:
- honoured: one of `HONOURED`, whose values `policies.py` reads;
- closes: a security setting of ingress-nginx that this version cannot honour. It is never skipped: the paths of the
  Ingress answer 503 and the owner is told;
- refused: it would put text into the nginx configuration;
- unsupported: known, without effect, told;
- silent: known and rightly without effect (markers for other tools, settings that were removed long ago).
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
    backend_tls,
    client_certificates,
    cors,
    error_pages,
    logging,
    mirror,
    protocols,
    proxying,
    redirects,
    response_headers,
    server_ciphers,
)
from controller.translate.annotations.reader import Reader


class Verdict(StrEnum):
    HONOURED = "honoured"
    CLOSES = "closes"
    REFUSED = "refused"
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
    Family(mirror.ANNOTATIONS, mirror.read),
    Family(proxying.ANNOTATIONS, proxying.read),
    Family(protocols.ANNOTATIONS, protocols.read),
    Family(backend_tls.ANNOTATIONS, backend_tls.read),
    Family(error_pages.ANNOTATIONS, error_pages.read),
)  # fmt: skip
"""In the order in which their features stand in a location. Error pages come last: they look at all others."""

REWRITE_TARGET = Annotation("rewrite-target", values.rewrite_target)
USE_REGEX = Annotation("use-regex", values.boolean)
SSL_REDIRECT = Annotation("ssl-redirect", values.boolean)
FORCE_SSL_REDIRECT = Annotation("force-ssl-redirect", values.boolean)
PRESERVE_TRAILING_SLASH = Annotation("preserve-trailing-slash", values.boolean)
ENABLE_ACCESS_LOG = Annotation("enable-access-log", values.boolean)
ENABLE_GLOBAL_AUTH = Annotation("enable-global-auth", values.boolean)
HOLD = Annotation("hold", values.boolean, ours=True)

HONOURED: tuple[Annotation[Any], ...] = (
    REWRITE_TARGET,
    USE_REGEX,
    SSL_REDIRECT,
    FORCE_SSL_REDIRECT,
    PRESERVE_TRAILING_SLASH,
    ENABLE_ACCESS_LOG,
    ENABLE_GLOBAL_AUTH,
    HOLD,
    *(annotation for family in FAMILIES for annotation in family.annotations),
)

CANARY = Annotation("canary", values.boolean)
"""Unsupported, and read all the same: where it is true nothing of the Ingress is used."""

_NAMES: dict[Verdict, str] = {
    Verdict.HONOURED: " ".join(annotation.name for annotation in HONOURED if not annotation.ours),
    Verdict.CLOSES: """
        auth-type auth-secret auth-url
        enable-modsecurity enable-owasp-core-rules
    """,
    Verdict.REFUSED: """
        configuration-snippet server-snippet stream-snippet auth-snippet modsecurity-snippet
    """,
    Verdict.SILENT: """
        http2-push-preload session-cookie-hash base-url-scheme
        upstream-max-fails upstream-fail-timeout enable-opentracing opentracing-trust-incoming-span
        opentracing-operation-name enable-influxdb influxdb-measurement influxdb-port influxdb-host
        influxdb-server-name lua-resty-waf
    """,
    Verdict.UNSUPPORTED: """
        service-upstream
        load-balance upstream-hash-by upstream-hash-by-subset upstream-hash-by-subset-size
        auth-secret-type auth-realm auth-method auth-signin
        auth-signin-redirect-param auth-response-headers auth-proxy-set-headers auth-request-redirect
        auth-always-set-cookie auth-cache-key auth-cache-duration auth-keepalive auth-keepalive-share-vars
        auth-keepalive-requests auth-keepalive-timeout satisfy
        ssl-passthrough
        canary canary-by-header canary-by-header-value
        canary-by-header-pattern canary-by-cookie canary-weight canary-weight-total affinity affinity-mode
        affinity-canary-behavior session-cookie-name session-cookie-path session-cookie-domain session-cookie-expires
        session-cookie-max-age session-cookie-secure session-cookie-samesite session-cookie-conditional-samesite-none
        session-cookie-change-on-failure
        enable-opentelemetry
        opentelemetry-trust-incoming-span opentelemetry-operation-name modsecurity-transaction-id secure-backends
        secure-verify-ca-secret grpc-backend add-base-url
        global-rate-limit global-rate-limit-window global-rate-limit-key
        global-rate-limit-ignored-cidrs
    """,
}

VERDICTS: dict[str, Verdict] = {
    name: verdict for verdict in reversed(Verdict) for name in _NAMES.get(verdict, "").split()
}
"""By name without the prefix. Where a name stands twice, the verdict that the enumeration names first counts."""

_EVERYBODY = "0.0.0.0/0,::/0"
"""cert-manager writes this on the Ingress of each HTTP-01 challenge, to lift a global list."""

HARMLESS = {
    "allowlist-source-range": _EVERYBODY,
    "whitelist-source-range": _EVERYBODY,
    "enable-modsecurity": "false",
    "enable-owasp-core-rules": "false",
    "limit-rps": "0",
    "limit-rpm": "0",
    "limit-connections": "0",
}
"""The value, in any case, with which an annotation that closes asks for no protection."""

FIREWALL = frozenset({"enable-modsecurity", "enable-owasp-core-rules"})
"""Those that close do so unless the ConfigMap says `allow-missing-waf`."""

TOLD = {
    Verdict.CLOSES: "This protection is not available in this version, so the paths of this Ingress answer 503.",
    Verdict.REFUSED: "Text for the nginx configuration is never taken from an annotation.",
    Verdict.UNSUPPORTED: "This annotation is not carried out in this version.",
}
"""What the owner of an Ingress is told."""

INSTEAD = {
    "secure-backends": "Use backend-protocol: HTTPS.",
    "grpc-backend": "Use backend-protocol: GRPC.",
    "secure-verify-ca-secret": "Use proxy-ssl-secret and proxy-ssl-verify.",
}
"""Modern names of annotations that ingress-nginx gave up long ago."""

CANARIES_TOLD = "Canaries are not carried out in this version, so all traffic stays with the main Ingress."
UNKNOWN_TOLD = "There is no such annotation."

OUR_ANNOTATIONS = frozenset(annotation.name for annotation in HONOURED if annotation.ours)


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like this one, or None where none does."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.75)
    return close[0] if close else None
