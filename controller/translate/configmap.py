"""The controller's ConfigMap as typed MainSettings. A bad value costs its own key and nothing else.

Keys and defaults are those of ingress-nginx, so a ConfigMap moves over as it is.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from controller.model.configuration import LogEscape, MainSettings
from controller.model.diagnostics import Effect
from controller.model.features.balancing import Method
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.annotations import values
from controller.translate.annotations.families import balancing, external_auth, proxying
from controller.translate.findings import Findings
from controller.translate.logformat import check_log_format

KIB, MIB = 1024, 1024**2
_PORTIONS = values.integer(1, 1_000_000)


def _buffers(text: str) -> str:
    number, _, each = text.partition(" ")
    try:
        return f"{values.integer(1, 1024)(number)} {values.size(KIB // 2, MIB)(each.strip())}"
    except ValueError as reason:
        raise ValueError("expected a number and a size of 512 bytes to 1m, such as 4 16k") from reason


def _ciphers(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9+!:_@=.-]{1,2000}", text):
        raise ValueError("expected an OpenSSL cipher list")
    return text


def _log_path(text: str) -> str:
    if not re.fullmatch(
        r"/dev/std(out|err)|/var/log/nginx/[A-Za-z0-9._-]{1,200}|syslog:server=[A-Za-z0-9.:-]{1,270}", text
    ):
        raise ValueError("expected /dev/stdout, a file below /var/log/nginx or syslog:server=HOST:PORT")
    return text


def _paths(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _header_names(text: str) -> tuple[str, ...]:
    """Names that are none are left out: they could not be used, and the others shall be."""
    names = (item.strip() for item in text.split(","))
    return tuple(dict.fromkeys(name for name in names if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name)))


def _statuses(text: str) -> tuple[int, ...]:
    """Statuses that nginx can replace, each once."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not all(re.fullmatch("[3-5][0-9]{2}", item) for item in items):
        raise ValueError("expected statuses from 300 to 599 with commas between")
    return tuple(sorted({int(item) for item in items} - {499}))  # that one nginx does not let anybody replace


def _networks(text: str) -> tuple[str, ...]:
    found = values.cidrs(text)
    if not found:
        raise ValueError("expected at least one address or network")
    return found


def _refusal(text: str) -> int:
    """502 and 504 would be taken for a pod that did not answer, and tried again."""
    code = values.integer(400, 599)(text)
    if code in (502, 504):
        raise ValueError("502 and 504 say that a pod did not answer; expected another status from 400 to 599")
    return code


def _method(text: str) -> Method:
    return balancing.METHODS[balancing.LOAD_BALANCE.grammar(text)]


LIMIT_VARIABLES = (
    "$binary_remote_addr", "$remote_addr", "$the_real_ip", "$http_x_forwarded_for", "$http_x_real_ip", "$http_x_user",
    "$http_authorization", "$remote_user", "$host", "$server_name",
)  # fmt: skip


def _pair(grammar: values.Grammar[Any]) -> Callable[[str], tuple[str, ...]]:
    return lambda text: tuple(grammar(text))


def _workers(text: str) -> int | None:
    return None if text == "auto" else values.integer(1, 512)(text)


def _deadline(text: str) -> float:
    seconds = values.seconds(text)
    if not 1 <= seconds <= 30:
        raise ValueError("expected a time from 1s to 30s")
    return float(seconds)


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
    "disable-access-log": values.boolean,
    "access-log-path": _log_path,
    "access-log-format": values.one_of("text", "json"),
    "log-format-upstream": check_log_format,
    "enable-access-log-for-default-backend": values.boolean,
    "error-log-level": values.one_of("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"),
    "ssl-protocols": values.words(("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")),
    "ssl-ciphers": _ciphers,
    "ssl-session-cache": values.boolean,
    "ssl-session-cache-size": values.size(64 * KIB, 1024 * MIB),
    "ssl-session-timeout": values.duration,
    "ssl-session-tickets": values.boolean,
    "ssl-buffer-size": values.size(KIB, MIB),
    "ssl-reject-handshake": values.boolean,
    "proxy-ssl-location-only": values.boolean,
    "whitelist-source-range": _networks,
    "denylist-source-range": _networks,
    "block-cidrs": _networks,
    "limit-req-status-code": _refusal,
    "limit-conn-status-code": _refusal,
    "limit-divide-by-replicas": values.boolean,
    "limit-conn-zone-variable": values.one_of(*LIMIT_VARIABLES),
    "limit-rate": values.integer(0, 1_000_000),
    "limit-rate-after": values.integer(0, 1_000_000),
    "relative-redirects": values.boolean,
    "proxy-busy-buffers-size": values.size(KIB, 64 * MIB),
    "proxy-max-temp-file-size": values.size(0, 1024**2 * MIB),
    "proxy-http-version": values.one_of("1.0", "1.1"),
    "proxy-cookie-domain": _pair(proxying.cookie_domain),
    "proxy-cookie-path": _pair(proxying.cookie_path),
    "proxy-redirect-from": proxying.location,
    "proxy-redirect-to": proxying.location,
    "hsts": values.boolean,
    "hsts-max-age": values.integer(0, 10**10),
    "hsts-include-subdomains": values.boolean,
    "hsts-preload": values.boolean,
    "ssl-redirect": values.boolean,
    "force-ssl-redirect": values.boolean,
    "http-redirect-code": lambda text: int(values.one_of("301", "302", "307", "308")(text)),
    "no-tls-redirect-locations": _paths,
    "preserve-trailing-slash": values.boolean,
    "use-port-in-redirects": values.boolean,
    "proxy-body-size": values.size(0, 1024**2 * MIB),
    "proxy-connect-timeout": values.seconds,
    "proxy-read-timeout": values.seconds,
    "proxy-send-timeout": values.seconds,
    "proxy-buffering": values.on_off,
    "proxy-request-buffering": values.on_off,
    "proxy-buffer-size": values.size(KIB, 16 * MIB),
    "proxy-buffers-number": values.integer(3, 1024),
    "proxy-next-upstream": values.words(_NEXT_UPSTREAM),
    "proxy-next-upstream-timeout": values.seconds,
    "proxy-next-upstream-tries": values.integer(0, 100),
    "retry-non-idempotent": values.boolean,
    "load-balance": _method,
    "service-upstream": values.boolean,
    "upstream-keepalive-connections": values.integer(0, 100_000),
    "upstream-keepalive-timeout": values.seconds,
    "upstream-keepalive-requests": _PORTIONS,
    "client-header-buffer-size": values.size(KIB // 2, MIB),
    "client-header-timeout": values.seconds,
    "client-body-buffer-size": values.size(KIB, 1024 * MIB),
    "client-body-timeout": values.seconds,
    "large-client-header-buffers": _buffers,
    "keep-alive": values.seconds,
    "keep-alive-requests": _PORTIONS,
    "use-http2": values.boolean,
    "http2-max-concurrent-streams": values.integer(1, 100_000),
    "server-tokens": values.boolean,
    "use-gzip": values.boolean,
    "gzip-level": values.integer(1, 9),
    "gzip-min-length": values.integer(0, 10**9),
    "worker-processes": _workers,
    "worker-shutdown-timeout": values.seconds,
    "max-worker-connections": values.integer(64, 1_000_000),
    "enable-multi-accept": values.boolean,
    "disable-ipv6": values.boolean,
    "strict-validate-path-type": values.boolean,
    "allow-missing-waf": values.boolean,
    "allow-cross-namespace-resources": values.boolean,
    "annotations-risk-level": str,
    "annotation-value-word-blocklist": _paths,
    "global-auth-url": external_auth.url,
    "global-auth-method": external_auth.method,
    "global-auth-signin": external_auth.signin_url,
    "global-auth-signin-redirect-param": external_auth.parameter,
    "global-auth-response-headers": external_auth.copied_headers,
    "global-auth-request-redirect": external_auth.request_redirect,
    "global-auth-cache-key": external_auth.cache_key,
    "global-auth-cache-duration": external_auth.durations,
    "global-auth-always-set-cookie": values.boolean,
    "no-auth-locations": _paths,
    "global-allowed-response-headers": _header_names,
    "custom-http-errors": _statuses,
    "disable-proxy-intercept-errors": values.boolean,
    "hold": values.boolean,
    "hold-deadline": _deadline,
}
"""Keys that are carried out, with the grammar of each."""

SAFE: dict[str, Any] = {"proxy-real-ip-cidr": ()}
"""What an invalid value comes to where the default would be the dangerous choice: whom to trust is nobody then."""

GLOBAL_AUTH = frozenset({"global-auth-url", "global-auth-method", "global-auth-response-headers"})
"""Those of them that an Ingress may decline (`enable-global-auth`)."""

PROTECTING = frozenset({"whitelist-source-range", "denylist-source-range", "block-cidrs"}) | GLOBAL_AUTH
"""Protections of all routes: a value that cannot be read closes every route rather than be skipped."""

CLOSING = frozenset({"block-user-agents", "block-referers"})
"""Protections of all routes that this version cannot honour: a value closes every route rather than be skipped."""

FIREWALL = frozenset({"enable-modsecurity", "enable-owasp-modsecurity-crs"})
"""Protections of all routes whose absence is told loudly and closes nothing: the operator decided it."""

UNSUPPORTED = frozenset(
    """
    access-log-params add-headers allow-backend-server-header 
    allow-snippet-annotations app-root bind-address
    brotli-level brotli-min-length brotli-types datadog-collector-host debug-connections
    default-type disable-http-access-log disable-ipv6-dns disable-stream-access-log
    enable-aio-write enable-auth-access-log enable-brotli enable-modsecurity enable-ocsp enable-opentelemetry
    enable-opentracing enable-owasp-modsecurity-crs enable-serial-reloads enable-syslog error-log-path
    forwarded-for-proxy-protocol-header forwarded-host-header geoip2-autoreload-in-minutes
    global-auth-snippet global-rate-limit-memcached-connect-timeout
    global-rate-limit-memcached-host global-rate-limit-memcached-max-idle-timeout
    global-rate-limit-memcached-pool-size global-rate-limit-memcached-port global-rate-limit-status-code
    grpc-buffer-size-kb gzip-disable gzip-types hide-headers http-access-log-path http-snippet http2-max-field-size
    http2-max-header-size http2-max-requests jaeger-baggage-header jaeger-collector-host jaeger-collector-port
    jaeger-debug-header jaeger-endpoint jaeger-propagation-format jaeger-sampler-host jaeger-sampler-param
    jaeger-sampler-port jaeger-sampler-type jaeger-service-name jaeger-trace-context-header-name
    jaeger-tracer-baggage-header-prefix 
    location-snippet log-format-stream lua-shared-dicts main-snippet
    map-hash-bucket-size max-worker-open-files modsecurity-snippet nginx-status-ipv4-whitelist
    nginx-status-ipv6-whitelist opentelemetry-config opentelemetry-operation-name
    opentelemetry-trust-incoming-span otel-max-export-batch-size otel-max-queuesize otel-sampler
    otel-sampler-parent-based otel-sampler-ratio otel-schedule-delay-millis otel-service-name otlp-collector-host
    otlp-collector-port proxy-headers-hash-bucket-size
    proxy-headers-hash-max-size proxy-protocol-header-timeout
    proxy-set-headers proxy-stream-next-upstream
    proxy-stream-next-upstream-timeout proxy-stream-next-upstream-tries proxy-stream-responses proxy-stream-timeout
    reuse-port server-name-hash-bucket-size server-name-hash-max-size server-snippet
    skip-access-log-urls ssl-dh-param ssl-early-data ssl-ecdh-curve ssl-session-ticket-key
    stream-access-log-path stream-snippet syslog-host syslog-port upstream-hash-by upstream-hash-by-subset
    upstream-hash-by-subset-size upstream-keepalive-time use-geoip use-geoip2 variables-hash-bucket-size
    variables-hash-max-size worker-cpu-affinity zipkin-collector-host
    """.split()
)
"""Known keys without effect in this version."""


def settings_of(data: Mapping[str, str], owner: ObjectKey, findings: Findings) -> tuple[MainSettings, tuple[str, ...]]:
    """The settings, and the keys of protections that cannot be honoured and so close the routes."""
    parsed = dict(_parsed(data, owner, findings))
    protecting = PROTECTING if data.get("global-auth-url", "").strip() else PROTECTING - GLOBAL_AUTH
    unread = tuple(key for key in protecting & data.keys() if data[key].strip() and _attribute(key) not in parsed)
    escape = _escape(data, owner, findings)
    settings = dataclasses.replace(MainSettings(), log_format_escape=escape, **parsed)
    settings = _with_fitting_buffers(settings, owner, findings)
    _warn_of_trust(settings, owner, findings)
    _warn_of_log_format(settings, owner, findings)
    closing = tuple(sorted((*unread, *(key for key in CLOSING & data.keys() if data[key].strip()))))
    for key in closing:
        but = ' but those with enable-global-auth: "false"' if key in GLOBAL_AUTH else ""
        findings.error(
            "configmap-key-unsupported",
            owner,
            FieldPath("data").key(key),
            f"This protection {'cannot be read' if key in unread else 'is not available in this version'}, "
            f"so every route{but} answers 503.",
            Effect.HOST_UNSERVED,
        )
    return settings, closing


def _with_fitting_buffers(settings: MainSettings, owner: ObjectKey, findings: Findings) -> MainSettings:
    """nginx refuses busy buffers that are smaller than one buffer or more than all buffers but one."""
    busy, size, number = settings.proxy_busy_buffers_size, settings.proxy_buffer_size, settings.proxy_buffers_number
    low, high = proxying.bytes_of(size), proxying.bytes_of(size) * (number - 1)
    if not busy or low <= proxying.bytes_of(busy) <= high:
        return settings
    reason = ValueError(f"{number} buffers of {size} want a size from {low} to {high} bytes")
    _report_invalid("proxy-busy-buffers-size", busy, reason, owner, findings)
    return dataclasses.replace(settings, proxy_busy_buffers_size="")


def _attribute(key: str) -> str:
    return key.replace("-", "_")


def _parsed(data: Mapping[str, str], owner: ObjectKey, findings: Findings) -> list[tuple[str, Any]]:
    found = []
    for key, text in sorted(data.items()):
        parse = PARSERS.get(key)
        if parse is None:
            _report_unread(key, text, owner, findings)
        elif parse is values.boolean and not text.strip():
            found.append((_attribute(key), False))  # so it always was; elsewhere no text means the default
        elif text.strip():
            try:
                found.append((_attribute(key), parse(text.strip())))
            except ValueError as reason:
                _report_invalid(key, text, reason, owner, findings)
                if key in SAFE:
                    found.append((_attribute(key), SAFE[key]))
    return found


def _report_invalid(key: str, text: str, reason: ValueError, owner: ObjectKey, findings: Findings) -> None:
    shown = repr(text if len(text) <= 80 else text[:77] + "...")
    findings.warning(
        "configmap-key-invalid",
        owner,
        FieldPath("data").key(key),
        f"{shown} is not valid: {reason}.",
        Effect.SETTING_IGNORED,
    )


def _report_unread(key: str, text: str, owner: ObjectKey, findings: Findings) -> None:
    if key in CLOSING or key in _ESCAPES or not text.strip():
        return
    where = FieldPath("data").key(key)
    if key in FIREWALL and _is_true(text):
        message = "There is no web application firewall in this version; every route is served without one."
        findings.error("configmap-key-unsupported", owner, where, message, Effect.SETTING_IGNORED)
        return
    if key in UNSUPPORTED:
        message = "This key is not carried out in this version."
        findings.warning("configmap-key-unsupported", owner, where, message, Effect.SETTING_IGNORED)
        return
    near = difflib.get_close_matches(key, [*PARSERS, *UNSUPPORTED, *CLOSING, *_ESCAPES], n=1, cutoff=0.75)
    hint = f"Did you mean {near[0]}?" if near else ""
    findings.warning("configmap-key-unknown", owner, where, "There is no such key.", Effect.SETTING_IGNORED, hint)


def _is_true(text: str) -> bool:
    try:
        return values.boolean(text.strip())
    except ValueError:
        return False


_ESCAPES = {"log-format-escape-none": LogEscape.NONE, "log-format-escape-json": LogEscape.JSON}


def _escape(data: Mapping[str, str], owner: ObjectKey, findings: Findings) -> LogEscape:
    for key, escape in _ESCAPES.items():
        try:
            if data.get(key) and values.boolean(data[key]):
                return escape
        except ValueError as reason:
            _report_invalid(key, data[key], reason, owner, findings)
    return LogEscape.DEFAULT


def _warn_of_log_format(settings: MainSettings, owner: ObjectKey, findings: Findings) -> None:
    if settings.log_format_upstream.lstrip().startswith("{") and settings.log_format_escape is not LogEscape.JSON:
        findings.warning(
            "log-format-unescaped",
            owner,
            FieldPath("data").key("log-format-upstream"),
            "The format looks like JSON and is not escaped as JSON, so clients can forge fields of log lines.",
            Effect.NONE,
            "Set log-format-escape-json to true.",
        )


def _warn_of_trust(settings: MainSettings, owner: ObjectKey, findings: Findings) -> None:
    reads_header = settings.use_forwarded_headers or settings.enable_real_ip
    if reads_header and "0.0.0.0/0" in settings.proxy_real_ip_cidr:
        findings.warning(
            "everyone-trusted",
            owner,
            FieldPath("data").key("proxy-real-ip-cidr"),
            "The client address comes from a header, and everyone may send that header.",
            Effect.NONE,
            "Set proxy-real-ip-cidr to the networks of your load balancer.",
        )
