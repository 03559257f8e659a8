"""Directives that are one annotation, one key of the ConfigMap, or the same name in both; one row each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

Convert = Callable[[tuple[str, ...]], str | None]


class Row(NamedTuple):
    """`convert` gives the value from the arguments, or None where it has no counterpart."""

    annotation: str = ""
    setting: str = ""
    convert: Convert = " ".join
    note: str = ""


def seconds(args: tuple[str, ...]) -> str | None:
    """An nginx time as whole seconds, rounded up."""
    text = args[0] if args else ""
    parts = re.findall(r"([0-9]+)(ms|[smhdwMy])?", text)
    if not parts or "".join(a + b for a, b in parts) != text:
        return None
    total = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    return str(-(-int(total * 1000) // 1000))


_SECONDS = {
    "": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000,
}  # fmt: skip


def switch(args: tuple[str, ...]) -> str | None:
    """`on` and `off` as a boolean."""
    return {"on": "true", "off": "false"}.get(args[0] if args else "")


def inverted(args: tuple[str, ...]) -> str | None:
    return {"on": "false", "off": "true"}.get(args[0] if args else "")


def first(args: tuple[str, ...]) -> str | None:
    return args[0] if args else None


def last(args: tuple[str, ...]) -> str | None:
    return args[-1] if args else None


def commas(args: tuple[str, ...]) -> str | None:
    return ",".join(args) or None


def kilobytes(args: tuple[str, ...]) -> str | None:
    """A size as a number of kilobytes, which is what limit-rate takes."""
    found = re.fullmatch(r"([0-9]+)([kKmM]?)", args[0] if args else "")
    if not found:
        return None
    number = int(found[1]) * {"": 1, "k": 1024, "m": 1024**2}[found[2].lower()]
    return str(-(-number // 1024))


_LIST = "It joins what is there by commas."
ROWS: dict[str, Row] = {
    # the request and its body
    "client_max_body_size": Row("proxy-body-size", "proxy-body-size", first),
    "client_body_buffer_size": Row("client-body-buffer-size", "client-body-buffer-size", first),
    "client_body_timeout": Row("", "client-body-timeout", seconds),
    "client_header_timeout": Row("", "client-header-timeout", seconds),
    "client_header_buffer_size": Row("", "client-header-buffer-size", first),
    "large_client_header_buffers": Row("", "large-client-header-buffers"),
    "underscores_in_headers": Row("", "enable-underscores-in-headers", switch),
    "ignore_invalid_headers": Row("", "ignore-invalid-headers", switch),
    "keepalive_timeout": Row("", "keep-alive", seconds),
    "keepalive_requests": Row("", "keep-alive-requests", first),
    "http2": Row("", "use-http2", switch),
    "http2_max_concurrent_streams": Row("", "http2-max-concurrent-streams", first),
    # pods
    "proxy_connect_timeout": Row("proxy-connect-timeout", "proxy-connect-timeout", seconds),
    "proxy_read_timeout": Row("proxy-read-timeout", "proxy-read-timeout", seconds),
    "proxy_send_timeout": Row("proxy-send-timeout", "proxy-send-timeout", seconds),
    "grpc_connect_timeout": Row("proxy-connect-timeout", "proxy-connect-timeout", seconds),
    "grpc_read_timeout": Row("proxy-read-timeout", "proxy-read-timeout", seconds),
    "grpc_send_timeout": Row("proxy-send-timeout", "proxy-send-timeout", seconds),
    "proxy_buffering": Row("proxy-buffering", "proxy-buffering", first),
    "proxy_request_buffering": Row("proxy-request-buffering", "proxy-request-buffering", first),
    "proxy_buffer_size": Row("proxy-buffer-size", "proxy-buffer-size", first),
    "proxy_busy_buffers_size": Row("proxy-busy-buffers-size", "proxy-busy-buffers-size", first),
    "proxy_max_temp_file_size": Row("proxy-max-temp-file-size", "proxy-max-temp-file-size", first),
    "proxy_http_version": Row("proxy-http-version", "proxy-http-version", first),
    "proxy_next_upstream": Row("proxy-next-upstream", "proxy-next-upstream"),
    "proxy_next_upstream_timeout": Row("proxy-next-upstream-timeout", "proxy-next-upstream-timeout", seconds),
    "proxy_next_upstream_tries": Row("proxy-next-upstream-tries", "proxy-next-upstream-tries", first),
    "proxy_cookie_domain": Row("proxy-cookie-domain", "proxy-cookie-domain"),
    "proxy_cookie_path": Row("proxy-cookie-path", "proxy-cookie-path"),
    "proxy_intercept_errors": Row("disable-proxy-intercept-errors", "disable-proxy-intercept-errors", inverted),
    "proxy_ssl_verify": Row("proxy-ssl-verify", "", first),
    "proxy_ssl_verify_depth": Row("proxy-ssl-verify-depth", "", first),
    "proxy_ssl_name": Row("proxy-ssl-name", "", first),
    "proxy_ssl_server_name": Row("proxy-ssl-server-name", "", first),
    "proxy_ssl_ciphers": Row("proxy-ssl-ciphers", "", first),
    "proxy_ssl_protocols": Row("proxy-ssl-protocols"),
    "grpc_buffer_size": Row("", "grpc-buffer-size-kb", kilobytes),
    "keepalive": Row("", "upstream-keepalive-connections", first),
    "fastcgi_index": Row("fastcgi-index", "", first),
    # limits and access
    "limit_rate": Row("limit-rate", "limit-rate", kilobytes),
    "limit_rate_after": Row("limit-rate-after", "limit-rate-after", kilobytes),
    "limit_req_status": Row("", "limit-req-status-code", first),
    "limit_conn_status": Row("", "limit-conn-status-code", first),
    "satisfy": Row("satisfy", "", first),
    "set_real_ip_from": Row("", "proxy-real-ip-cidr", commas, _LIST),
    "mirror_request_body": Row("mirror-request-body", "", first),
    # TLS
    "ssl_protocols": Row("", "ssl-protocols"),
    "ssl_ciphers": Row("ssl-ciphers", "ssl-ciphers", first),
    "ssl_prefer_server_ciphers": Row("ssl-prefer-server-ciphers", "", switch),
    "ssl_ecdh_curve": Row("", "ssl-ecdh-curve", first),
    "ssl_session_timeout": Row("", "ssl-session-timeout", first),
    "ssl_session_tickets": Row("", "ssl-session-tickets", switch),
    "ssl_buffer_size": Row("", "ssl-buffer-size", first),
    "ssl_early_data": Row("", "ssl-early-data", switch),
    "ssl_reject_handshake": Row("", "ssl-reject-handshake", switch),
    "ssl_verify_client": Row("auth-tls-verify-client", "", first, "auth-tls-secret names the CA."),
    "ssl_verify_depth": Row("auth-tls-verify-depth", "", first),
    # answers and logs
    "absolute_redirect": Row("relative-redirects", "relative-redirects", inverted),
    "port_in_redirect": Row("use-port-in-redirects", "use-port-in-redirects", switch),
    "rewrite_log": Row("enable-rewrite-log", "", switch),
    "gzip": Row("", "use-gzip", switch),
    "gzip_types": Row("", "gzip-types"),
    "gzip_comp_level": Row("", "gzip-level", first),
    "gzip_min_length": Row("", "gzip-min-length", first),
    "gzip_disable": Row("", "gzip-disable", first),
    "server_tokens": Row("", "server-tokens", switch),
    "default_type": Row("", "default-type", first),
    "error_log": Row("", "error-log-level", last),
    # processes
    "worker_processes": Row("", "worker-processes", first),
    "worker_connections": Row("", "max-worker-connections", first),
    "worker_shutdown_timeout": Row("", "worker-shutdown-timeout", first),
    "worker_rlimit_nofile": Row("", "max-worker-open-files", first),
    "multi_accept": Row("", "enable-multi-accept", switch),
    "variables_hash_max_size": Row("", "variables-hash-max-size", first),
    "map_hash_bucket_size": Row("", "map-hash-bucket-size", first),
    "server_names_hash_bucket_size": Row("", "server-name-hash-bucket-size", first),
    "server_names_hash_max_size": Row("", "server-name-hash-max-size", first),
    "proxy_timeout": Row("", "proxy-stream-timeout", first),
    "proxy_responses": Row("", "proxy-stream-responses", first),
}
