"""Checks `log-format-upstream`: an unknown variable would make nginx refuse the whole configuration."""

from __future__ import annotations

import re

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


def check_log_format(text: str) -> str:
    """The text itself. Raises `ValueError` naming the first variable that nginx would not know."""
    if any((ord(c) < 0x20 and c not in "\t\n") or ord(c) == 0x7F for c in text):
        raise ValueError("it holds a control character")
    if len(text.encode()) + text.count('"') + text.count("\\") > MAX_QUOTED_BYTES:
        raise ValueError(f"it is longer than {MAX_QUOTED_BYTES} bytes once its quotes are escaped")
    for found in _VARIABLE.finditer(text):
        name = found[1] if found[1] is not None else found[2]
        if name not in _KNOWN and not _DYNAMIC.fullmatch(name):
            raise ValueError(f"${name} is not a variable of nginx that may be logged")
    return text
