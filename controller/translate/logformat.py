"""Checks `log-format-upstream`: an unknown variable would make nginx refuse the whole configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

MAX_QUOTED_BYTES = 3_900
"""nginx reads one parameter into a buffer of 4,096 bytes."""

_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z0-9_]*))")
_DYNAMIC = re.compile(
    r"(?:http|sent_http|sent_trailer|upstream_http|upstream_trailer|cookie|upstream_cookie|arg)_\w+", re.ASCII
)
_KNOWN = frozenset(
    """
    args body_bytes_sent bytes_sent connection connection_requests connection_time content_length content_type
    document_uri host hostname is_args limit_rate msec nginx_version pid pipe proxy_host proxy_port
    proxy_protocol_addr proxy_protocol_port proxy_protocol_server_addr proxy_protocol_server_port query_string
    realip_remote_addr realip_remote_port remote_addr remote_port remote_user request request_completion
    request_id request_length request_method request_time request_uri scheme server_addr server_name server_port
    server_protocol ssl_cipher ssl_ciphers ssl_client_verify ssl_curve ssl_protocol ssl_server_name
    ssl_session_reused status tcpinfo_rtt tcpinfo_rttvar tcpinfo_snd_cwnd tcpinfo_rcv_space time_iso8601
    time_local uri https http2 upstream_addr upstream_bytes_received upstream_bytes_sent upstream_cache_status
    upstream_connect_time upstream_header_time upstream_response_length
    upstream_response_time upstream_status gzip_ratio namespace ingress_name service_name service_port
    location_path req_id proxy_upstream_name proxy_alternative_upstream_name pass_access_scheme pass_server_port
    pass_port best_http_host the_real_ip
    """.split()
)


_KNOWN_TO_STREAM = frozenset(
    """
    binary_remote_addr bytes_received bytes_sent connection hostname msec nginx_version pid protocol
    proxy_protocol_addr proxy_protocol_port proxy_protocol_server_addr proxy_protocol_server_port realip_remote_addr
    realip_remote_port remote_addr remote_port server_addr server_port session_time ssl_preread_alpn_protocols
    ssl_preread_protocol ssl_preread_server_name status time_iso8601 time_local upstream_addr upstream_bytes_received
    upstream_bytes_sent upstream_connect_time upstream_first_byte_time upstream_session_time
    """.split()
)


def check_stream_log_format(text: str) -> str:
    """As `check_log_format`, for `log-format-stream`."""
    return _checked(text, lambda name: name in _KNOWN_TO_STREAM)


def check_log_format(text: str) -> str:
    """The text itself. Raises `ValueError` naming the first variable that nginx would not know."""
    return _checked(text, _is_known)


def has_only_known(text: str) -> bool:
    """Whether every dollar sign begins a variable of `check_log_format`."""
    return all(map(_is_known, _variables_of(text)))


def _is_known(name: str) -> bool:
    return name in _KNOWN or _DYNAMIC.fullmatch(name) is not None


def _variables_of(text: str) -> Iterator[str]:
    for found in _VARIABLE.finditer(text):
        yield found[1] if found[1] is not None else found[2]


def _checked(text: str, is_known: Callable[[str], bool]) -> str:
    if any((ord(c) < 0x20 and c not in "\t\n") or ord(c) == 0x7F for c in text):
        raise ValueError("it holds a control character")
    if len(text.encode()) + text.count('"') + text.count("\\") > MAX_QUOTED_BYTES:
        raise ValueError(f"it is longer than {MAX_QUOTED_BYTES} bytes once its quotes are escaped")
    for name in _variables_of(text):
        if not is_known(name):
            raise ValueError(f"${name} is not a variable of nginx that may be logged")
    return text
