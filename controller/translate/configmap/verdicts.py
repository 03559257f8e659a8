"""Every key of ingress-nginx's ConfigMap has a verdict, as every annotation has, and what its owner is told.

Refused is what would put text of a user into nginx's configuration, or a protection that would only seem to be there.
Unsupported is what stock nginx has no module for. Obsolete had no effect in the last versions of ingress-nginx, or
only a meaning for its Lua. Silent is what is rightly without effect.
"""

from __future__ import annotations

from controller.translate.annotations.registry import Verdict
from controller.translate.configmap.keys import ESCAPES, PARSERS

_FIREWALL = "There is no web application firewall here; every route is served without one."
_TEXT = "Text for the nginx configuration is never taken, neither from annotations nor from this ConfigMap."

REFUSED_TEXTS: dict[str, tuple[str, str]] = {
    "enable-modsecurity": (_FIREWALL, "Put a firewall in front, or in the pods."),
    "enable-owasp-modsecurity-crs": (_FIREWALL, "Put a firewall in front, or in the pods."),
    "modsecurity-snippet": (_FIREWALL, "Put a firewall in front, or in the pods."),
    "allow-snippet-annotations": (
        "Snippets of annotations are refused, always.",
        "`headrace migrate report` names what takes the place of each directive.",
    ),
    "global-auth-snippet": (_TEXT, "Use proxy-set-headers, or auth-proxy-set-headers of an Ingress."),
    "main-snippet": (_TEXT, "Use the keys of workers, such as worker-processes."),
    "http-snippet": (_TEXT, "`headrace migrate report` names the key that takes the place of each directive."),
    "server-snippet": (_TEXT, "Use block-user-agents, block-referers, denylist-source-range or custom-http-errors."),
    "location-snippet": (_TEXT, "Use add-headers, proxy-set-headers and the keys proxy-*."),
    "stream-snippet": (_TEXT, "Use the keys proxy-stream-* and the ConfigMaps of TCP and UDP services."),
}
"""What the operator is told of a refused key, and what to use instead."""

HARMLESS = frozenset({"enable-modsecurity", "enable-owasp-modsecurity-crs", "allow-snippet-annotations"})
"""Refused keys that ask for nothing when they are false."""

_BROTLI = ("Stock nginx has no Brotli.", "Use use-gzip, gzip-level, gzip-types and gzip-min-length.")
_TRACING = (
    "Stock nginx has no module for tracing.",
    "Trace in the pods; the id of a request reaches them as X-Request-ID.",
)
_GEOIP = ("Stock nginx has no GeoIP database.", "Let a load balancer or the pods look it up.")
_OCSP = ("nginx staples no OCSP answers to certificates that are replaced without a reload.", "Remove it.")

UNSUPPORTED_TEXTS: dict[str, tuple[str, str]] = {
    "enable-ocsp": _OCSP,
    **dict.fromkeys(("enable-brotli", "brotli-level", "brotli-min-length", "brotli-types"), _BROTLI),
    **dict.fromkeys(("use-geoip2", "geoip2-autoreload-in-minutes"), _GEOIP),
    **dict.fromkeys(
        """
        enable-opentelemetry opentelemetry-config opentelemetry-operation-name opentelemetry-trust-incoming-span
        otlp-collector-host otlp-collector-port otel-service-name otel-sampler otel-sampler-ratio
        otel-sampler-parent-based otel-max-queuesize otel-schedule-delay-millis otel-max-export-batch-size
        """.split(),
        _TRACING,
    ),
}
"""What needs a module that stock nginx lacks. Told once for all keys with the same text."""

SWITCHES = frozenset({"enable-brotli", "use-geoip2", "enable-opentelemetry", "enable-ocsp"})
"""Those of them that ask for nothing when they are false."""

_NO_EFFECT = "It had no effect in the last versions of ingress-nginx, and has none here."
_LIMITS = "Use limit-rps of an Ingress, and limit-divide-by-replicas here."

OBSOLETE_TEXTS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        """
        jaeger-baggage-header jaeger-collector-host jaeger-collector-port jaeger-debug-header jaeger-endpoint
        jaeger-propagation-format jaeger-sampler-host jaeger-sampler-param jaeger-sampler-port jaeger-sampler-type
        jaeger-service-name jaeger-trace-context-header-name jaeger-tracer-baggage-header-prefix
        zipkin-collector-host datadog-collector-host enable-opentracing
        """.split(),
        (_NO_EFFECT, _TRACING[1]),
    ),
    **dict.fromkeys(
        """
        global-rate-limit-memcached-connect-timeout global-rate-limit-memcached-host
        global-rate-limit-memcached-max-idle-timeout global-rate-limit-memcached-pool-size
        global-rate-limit-memcached-port global-rate-limit-status-code
        """.split(),
        (_NO_EFFECT, _LIMITS),
    ),
    **dict.fromkeys(
        ("http2-max-field-size", "http2-max-header-size"), (_NO_EFFECT, "Use large-client-header-buffers.")
    ),
    "http2-max-requests": (_NO_EFFECT, "Use keep-alive-requests."),
    "use-geoip": (_NO_EFFECT, _GEOIP[1]),
    "lua-shared-dicts": ("There is no Lua here.", "Remove it."),
}
"""Keys that nothing reads any more. Told once for all keys with the same text."""

SILENT: dict[str, str] = {
    "app-root": "Never was a default for the annotation.",
    "disable-ipv6-dns": "nginx asks only our own DNS responder; it gives the addresses that there are.",
    "forwarded-for-proxy-protocol-header": "A header inside ingress-nginx; here none is needed.",
    "upstream-hash-by": "Never was a default for the annotation.",
    "upstream-hash-by-subset": "Never was a default for the annotation.",
    "upstream-hash-by-subset-size": "Never was a default for the annotation.",
}
"""Keys that are rightly without effect, and why."""

TOLD = {
    Verdict.REFUSED: REFUSED_TEXTS,
    Verdict.UNSUPPORTED: UNSUPPORTED_TEXTS,
    Verdict.OBSOLETE: OBSOLETE_TEXTS,
}

VERDICTS: dict[str, Verdict] = {
    **{name: verdict for verdict, texts in TOLD.items() for name in texts},
    **dict.fromkeys(SILENT, Verdict.SILENT),
    **dict.fromkeys((*PARSERS, *ESCAPES), Verdict.HONOURED),
}
"""By key."""

UNSUPPORTED = frozenset(name for name, verdict in VERDICTS.items() if verdict is not Verdict.HONOURED)
"""Known keys without effect, whatever the reason."""
