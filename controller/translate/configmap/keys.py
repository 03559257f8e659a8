"""Keys of the ConfigMap that are carried out, each with its grammar.

Keys and defaults are those of ingress-nginx, so a ConfigMap moves over as it is. The field of MainSettings is the key
with underscores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.model.configuration import LogEscape
from controller.translate.annotations import values
from controller.translate.annotations.families import external_auth, proxying
from controller.translate.configmap import grammars
from controller.translate.logformat import check_log_format, check_stream_log_format

_NEXT_UPSTREAM = """
    error timeout invalid_header http_500 http_502 http_503 http_504 http_403 http_404 http_429
    non_idempotent off
    """.split()

PARSERS: dict[str, Callable[[str], Any]] = {
    "use-forwarded-headers": values.boolean,
    "compute-full-forwarded-for": values.boolean,
    "forwarded-for-header": values.header,
    "enable-real-ip": values.boolean,
    "proxy-real-ip-cidr": values.cidrs,
    "use-proxy-protocol": values.boolean,
    "generate-request-id": values.boolean,
    "proxy-add-original-uri-header": values.boolean,
    "enable-underscores-in-headers": values.boolean,
    "ignore-invalid-headers": values.boolean,
    "forwarded-host-header": values.header,
    "add-headers": grammars.reference,
    "proxy-set-headers": grammars.reference,
    "hide-headers": grammars.hidden_headers,
    "allow-backend-server-header": values.boolean,
    "default-type": grammars.default_type,
    "block-user-agents": grammars.patterns,
    "block-referers": grammars.patterns,
    "nginx-status-ipv4-whitelist": grammars.networks_of(4),
    "nginx-status-ipv6-whitelist": grammars.networks_of(6),
    "disable-access-log": values.boolean,
    "disable-http-access-log": values.boolean,
    "http-access-log-path": grammars.log_path,
    "access-log-params": grammars.log_parameters,
    "error-log-path": grammars.log_path,
    "enable-auth-access-log": values.boolean,
    "skip-access-log-urls": grammars.patterns,
    "enable-syslog": values.boolean,
    "syslog-host": grammars.syslog_address,
    "syslog-port": values.integer(1, 65_535),
    "debug-connections": grammars.some_networks,
    "access-log-path": grammars.log_path,
    "access-log-format": values.one_of("text", "json"),
    "log-format-upstream": check_log_format,
    "enable-access-log-for-default-backend": values.boolean,
    "error-log-level": values.one_of("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"),
    "ssl-protocols": values.words(("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")),
    "ssl-ciphers": grammars.ciphers,
    "ssl-session-cache": values.boolean,
    "ssl-session-cache-size": values.size(64 * grammars.KIB, 1024 * grammars.MIB),
    "ssl-session-timeout": values.duration,
    "ssl-session-tickets": values.boolean,
    "ssl-buffer-size": values.size(grammars.KIB, grammars.MIB),
    "ssl-reject-handshake": values.boolean,
    "ssl-ecdh-curve": grammars.curves,
    "ssl-dh-param": grammars.reference,
    "ssl-early-data": values.boolean,
    "ssl-session-ticket-key": grammars.ticket_key,
    "proxy-ssl-location-only": values.boolean,
    "whitelist-source-range": grammars.networks,
    "denylist-source-range": grammars.networks,
    "block-cidrs": grammars.networks,
    "limit-req-status-code": grammars.refusal,
    "limit-conn-status-code": grammars.refusal,
    "limit-divide-by-replicas": values.boolean,
    "limit-conn-zone-variable": values.one_of(*grammars.LIMIT_VARIABLES),
    "limit-rate": values.integer(0, 1_000_000),
    "limit-rate-after": values.integer(0, 1_000_000),
    "relative-redirects": values.boolean,
    "proxy-busy-buffers-size": values.size(grammars.KIB, 64 * grammars.MIB),
    "proxy-max-temp-file-size": values.size(0, 1024**2 * grammars.MIB),
    "proxy-http-version": values.one_of("1.0", "1.1"),
    "proxy-cookie-domain": grammars.pair(proxying.cookie_domain),
    "proxy-cookie-path": grammars.pair(proxying.cookie_path),
    "proxy-redirect-from": proxying.location,
    "proxy-redirect-to": proxying.location,
    "hsts": values.boolean,
    "hsts-max-age": values.integer(0, 10**10),
    "hsts-include-subdomains": values.boolean,
    "hsts-preload": values.boolean,
    "ssl-redirect": values.boolean,
    "force-ssl-redirect": values.boolean,
    "http-redirect-code": lambda text: int(values.one_of("301", "302", "307", "308")(text)),
    "no-tls-redirect-locations": grammars.paths,
    "preserve-trailing-slash": values.boolean,
    "use-port-in-redirects": values.boolean,
    "proxy-body-size": values.size(0, 1024**2 * grammars.MIB),
    "proxy-connect-timeout": values.seconds,
    "proxy-read-timeout": values.seconds,
    "proxy-send-timeout": values.seconds,
    "proxy-buffering": values.on_off,
    "proxy-request-buffering": values.on_off,
    "proxy-buffer-size": values.size(grammars.KIB, 16 * grammars.MIB),
    "proxy-buffers-number": values.integer(3, 1024),
    "proxy-next-upstream": values.words(_NEXT_UPSTREAM),
    "proxy-next-upstream-timeout": values.seconds,
    "proxy-next-upstream-tries": values.integer(0, 100),
    "retry-non-idempotent": values.boolean,
    "load-balance": grammars.method,
    "service-upstream": values.boolean,
    "upstream-keepalive-connections": values.integer(0, 100_000),
    "upstream-keepalive-timeout": values.seconds,
    "upstream-keepalive-time": values.duration,
    "grpc-buffer-size-kb": values.integer(0, 16_384),
    "upstream-keepalive-requests": grammars.PORTIONS,
    "client-header-buffer-size": values.size(grammars.KIB // 2, grammars.MIB),
    "client-header-timeout": values.seconds,
    "client-body-buffer-size": values.size(grammars.KIB, 1024 * grammars.MIB),
    "client-body-timeout": values.seconds,
    "large-client-header-buffers": grammars.buffers,
    "keep-alive": values.seconds,
    "keep-alive-requests": grammars.PORTIONS,
    "use-http2": values.boolean,
    "http2-max-concurrent-streams": values.integer(1, 100_000),
    "server-tokens": values.boolean,
    "use-gzip": values.boolean,
    "gzip-level": values.integer(1, 9),
    "gzip-min-length": values.integer(0, 10**9),
    "gzip-types": grammars.types,
    "gzip-disable": grammars.regular_expression,
    "worker-processes": grammars.workers,
    "worker-shutdown-timeout": values.seconds,
    "worker-cpu-affinity": grammars.affinity,
    "max-worker-connections": grammars.connections,
    "max-worker-open-files": grammars.open_files,
    "reuse-port": values.boolean,
    "enable-serial-reloads": values.boolean,
    "enable-aio-write": values.boolean,
    "bind-address": grammars.addresses,
    "server-name-hash-max-size": grammars.table_size,
    "server-name-hash-bucket-size": grammars.bucket_size,
    "map-hash-bucket-size": grammars.bucket_size,
    "proxy-headers-hash-max-size": grammars.table_size,
    "proxy-headers-hash-bucket-size": grammars.bucket_size,
    "variables-hash-max-size": grammars.table_size,
    "variables-hash-bucket-size": grammars.bucket_size,
    "enable-multi-accept": values.boolean,
    "disable-ipv6": values.boolean,
    "proxy-stream-timeout": grammars.positive_time,
    "proxy-stream-responses": values.integer(0, 1_000_000),
    "proxy-stream-next-upstream": values.boolean,
    "proxy-stream-next-upstream-timeout": values.seconds,
    "proxy-stream-next-upstream-tries": values.integer(0, 100),
    "proxy-protocol-header-timeout": grammars.positive_time,
    "log-format-stream": check_stream_log_format,
    "stream-access-log-path": grammars.log_path,
    "disable-stream-access-log": values.boolean,
    "strict-validate-path-type": values.boolean,
    "allow-missing-waf": values.boolean,
    "allow-cross-namespace-resources": values.boolean,
    "annotations-risk-level": str,
    "annotation-value-word-blocklist": grammars.paths,
    "global-auth-url": external_auth.url,
    "global-auth-method": external_auth.method,
    "global-auth-signin": external_auth.signin_url,
    "global-auth-signin-redirect-param": external_auth.parameter,
    "global-auth-response-headers": external_auth.copied_headers,
    "global-auth-request-redirect": external_auth.request_redirect,
    "global-auth-cache-key": external_auth.cache_key,
    "global-auth-cache-duration": external_auth.durations,
    "global-auth-always-set-cookie": values.boolean,
    "no-auth-locations": grammars.paths,
    "global-allowed-response-headers": grammars.header_names,
    "custom-http-errors": grammars.statuses,
    "disable-proxy-intercept-errors": values.boolean,
    "hold": values.boolean,
    "hold-deadline": grammars.deadline,
}
"""Keys that are carried out, with the grammar of each."""

SAFE: dict[str, Any] = {"proxy-real-ip-cidr": ()}
"""What an invalid value comes to where the default would be the dangerous choice: whom to trust is nobody then."""

GLOBAL_AUTH = frozenset({"global-auth-url", "global-auth-method", "global-auth-response-headers"})
"""Those of them that an Ingress may decline (`enable-global-auth`)."""

PROTECTING = (
    frozenset({"whitelist-source-range", "denylist-source-range", "block-cidrs", "block-user-agents", "block-referers"})
    | GLOBAL_AUTH
)
"""Protections of all routes: a value that cannot be read closes every route rather than be skipped."""

CLOSING: frozenset[str] = frozenset()
"""Protections of all routes that this version could not honour: there are none."""

ESCAPES = {"log-format-escape-none": LogEscape.NONE, "log-format-escape-json": LogEscape.JSON}
"""Keys that together make one setting; the first one that is true counts."""
