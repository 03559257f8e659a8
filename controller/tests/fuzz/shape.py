"""Which directives a generated configuration may hold, where, and with how many parameters: a closed list.

Written by hand and not taken from the templates, on purpose: text of a user that became a directive would have to be
on this list, in a place where the list has it, with a number of parameters that the list allows. A family of
annotations that needs a new directive enters it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from controller.tests.fuzz.nginx_text import Directive, parse, walk

_MANY = 99

_TABLE = """
daemon M 1 1
pid M 1 1
error_log M,L 2 2
user M 1 2
worker_processes M 1 1
worker_rlimit_nofile M 1 1
worker_shutdown_timeout M 1 1
worker_cpu_affinity M 1 *
pcre_jit M 1 1
events M 0 0
worker_connections E 1 1
multi_accept E 1 1
debug_connection E 1 1
http M 0 0
stream M 0 0
server H,T,U 0 *
location S 1 2
if S,L 1 4
map H,T 2 2
geo H,T 1 2
split_clients H 2 2
upstream H,T 1 1
include M,H,T 1 1
listen S,V 1 8
server_name S,V 1 *
pass V 1 1
http2 H,S 1 1
access_log H,S,L,T,V 1 5
log_format H,T 2 *
default_type H,S,L 1 1
set S,L,I,V 2 2
return S,L,I,V 1 2
break L,I 0 0
rewrite S,L 3 3
error_page H,S,L 2 12
allow S,L 1 1
deny S,L 1 1
satisfy L 1 1
internal L 0 0
js_import H 1 3
js_set H 2 3
resolver H,T 1 *
resolver_timeout H,T 1 1
zone U 2 2
keepalive U 1 2
keepalive_timeout H,U 1 2
keepalive_requests H,U 1 1
keepalive_time U 1 1
keepalive_min_timeout H 1 1
hash U 1 2
ip_hash U 0 0
least_conn U 0 0
random U 0 2
sticky U 2 10
proxy_pass L,V 1 1
grpc_pass L 1 1
fastcgi_pass L 1 1
fastcgi_index L 1 1
fastcgi_param H,S,L 2 3
fastcgi_split_path_info L 1 1
auth_basic L 1 1
auth_basic_user_file L 1 1
auth_request L 1 1
auth_request_set L 2 2
mirror L 1 1
mirror_request_body L 1 1
proxy_cache L 1 1
proxy_cache_path H 1 8
proxy_cache_key L 1 1
proxy_cache_valid L 1 *
proxy_cache_lock L 1 1
proxy_no_cache L 1 3
proxy_cache_bypass L 1 3
proxy_cache_methods L 1 3
limit_req_zone H 3 3
limit_conn_zone H,T 2 2
limit_req L 1 3
limit_conn L,V 2 2
limit_req_status H 1 1
limit_conn_status H 1 1
limit_conn_log_level T 1 1
limit_rate H,L 1 1
limit_rate_after H,L 1 1
add_header H,S,L 2 3
add_header_inherit H,S,L 1 1
more_set_headers H,L 1 *
more_clear_headers H,L 1 *
real_ip_header H 1 1
real_ip_recursive H 1 1
set_real_ip_from H,T,V 1 1
absolute_redirect H,L 1 1
port_in_redirect H,L 1 1
recursive_error_pages H,L 1 1
rewrite_log L 1 1
underscores_in_headers H 1 1
ignore_invalid_headers H 1 1
uninitialized_variable_warn H 1 1
reset_timedout_connection H 1 1
server_tokens H 1 1
tcp_nopush H 1 1
tcp_nodelay H 1 1
types_hash_max_size H 1 1
log_not_found H 1 1
large_client_header_buffers H 2 2
open_file_cache H 1 3
ssl_certificate H,S,V 1 1
ssl_certificate_key H,S,V 1 1
ssl_certificate_cache H 1 3
ssl_client_certificate S 1 1
ssl_trusted_certificate S 1 1
ssl_crl S 1 1
ssl_verify_client S 1 1
ssl_verify_depth S 1 1
ssl_ciphers H,S 1 1
ssl_dhparam H 1 1
ssl_ecdh_curve H 1 1
ssl_early_data H 1 1
ssl_session_ticket_key H 1 1
ssl_prefer_server_ciphers H,S 1 1
ssl_protocols H 1 5
ssl_session_cache H 1 2
ssl_reject_handshake S 1 1
ssl_preread V 1 1
proxy_protocol V 1 1
proxy_responses V 1 1
proxy_timeout V,T 1 1
proxy_protocol_timeout T,V 1 1
preread_timeout T,V 1 1
preread_buffer_size T,V 1 1
http2_max_concurrent_streams H 1 1
grpc_ssl_trusted_certificate L 1 1
open_log_file_cache H 1 4
reuseport S 0 0
"""

_PREFIXES = {
    "client_": (("H", "S", "L"), 1, 2),
    "gzip": (("H", "L"), 1, _MANY),
    "http2_": (("H",), 1, 1),
    "keepalive_": (("H",), 1, 2),
    "proxy_headers_hash_": (("H",), 1, 1),
    "server_names_hash_": (("H", "T"), 1, 1),
    "map_hash_": (("H", "T"), 1, 1),
    "variables_hash_": (("H", "T"), 1, 1),
    "ssl_session_": (("H",), 1, 1),
    "ssl_buffer_": (("H",), 1, 1),
}
"""Families of settings whose every member takes numbers, sizes or words of a closed list."""

_OF_PROTOCOL = re.compile(
    r"(?:proxy|grpc|fastcgi)_(?:set_header|hide_header|pass_header|pass_request_headers|pass_request_body|ignore_headers"
    r"|connect_timeout|read_timeout|send_timeout|buffering|buffer_size|buffers|busy_buffers_size|max_temp_file_size"
    r"|temp_path|request_buffering|http_version|next_upstream|next_upstream_timeout|next_upstream_tries|method"
    r"|socket_keepalive|intercept_errors|cookie_path|cookie_domain|cookie_flags|redirect|bind|limit_rate|set_body"
    r"|ignore_client_abort|allow_upstream|temp_file_write_size"
    r"|ssl_(?:name|server_name|verify|verify_depth|trusted_certificate|certificate|certificate_key|ciphers|protocols"
    r"|session_reuse|crl))"
)

_CONTEXT = {
    "": "M",
    "events": "E",
    "http": "H",
    "server": "S",
    "location": "L",
    "if": "I",
    "upstream": "U",
    "stream": "T",
}
_DATA = frozenset({"map", "geo", "split_clients"})
_INCLUDES = re.compile(r"(?:certificates|upstreams|shared|generation|stream)\.conf|(?:servers|streams)/\*\.conf")
_PASSES = re.compile(
    r"(?:https?|grpcs?|\$scheme)://(?:unix:/[\w./-]+|\$?[\w.-]+|\$\{\w+\}|127\.0\.0\.1|\[[0-9a-f:]+\])(?::\d+)?(?:/\S*|\$\S+)?"
    r"|\$\w+|[\w.-]+|https?://\S+\$hr_\w+\S*"
)
_SECRETS = re.compile(r"\$\{?(?:env|http_authorization|cookie_|ssl_client_raw)", re.IGNORECASE)
TELL_TALE = "pwned"
"""The name that every directive of an attack has, here and in the corpus of attacks."""

FORBIDDEN_STATUS = "418"
"""What attacks answer with. No annotation can ask for it; within a location it may lead to an `error_page`."""


def _parse_table() -> dict[str, tuple[frozenset[str], int, int]]:
    rows = (line.split() for line in _TABLE.split("\n") if line)
    return {
        name: (frozenset(contexts.split(",")), int(low), _MANY if high == "*" else int(high))
        for name, contexts, low, high in rows
    }


DIRECTIVES = _parse_table()


def faults(files: Mapping[str, str]) -> list[str]:
    """What is in these files and may not be; `files` are texts by the name of the file."""
    found = [fault for name, text in files.items() for fault in _faults_of(name, text)]
    servers = [name for name in files if name.startswith("servers/")]
    wrong = [n for n in servers if sum(d.name.text == "server" for d in parse(files[n])) != 1]
    return found + [f"{name}: not one server" for name in wrong]


def _faults_of(name: str, text: str) -> Iterable[str]:
    top = {"nginx.conf": "M", "stream.conf": "M"}.get(name, "T" if name.startswith("streams/") else "H")
    tree = parse(text)
    for directive in tree:
        yield from (f"{name}: {fault}" for fault in _check(directive, top))


def _check(directive: Directive, context: str) -> Iterable[str]:
    name = directive.name.text
    allowed, low, high = _rule(name)
    if context not in allowed or directive.name.quoted:
        yield f"{name!r} in {context}"
    if not low <= len(directive.arguments) <= high:
        yield f"{name} has {len(directive.arguments)} parameters: {directive.arguments[:4]}"
    if (directive.block is not None) != (name in _BLOCKS) and not (name == "server" and context == "U"):
        yield f"{name} with or without a block"
    yield from _check_arguments(directive)
    inner = "V" if name == "server" and context == "T" else _CONTEXT.get(name, "?")
    if name in _DATA:
        yield from _check_data(directive)
        return
    for child in directive.block or ():
        yield from _check(child, inner)
        if _says(child, "return", FORBIDDEN_STATUS) and not any(
            _says(other, "error_page", FORBIDDEN_STATUS) for other in directive.block or ()
        ):
            yield "an answer that nobody may ask for"


def _says(directive: Directive, name: str, first: str) -> bool:
    return directive.name.text == name and bool(directive.arguments) and directive.arguments[0].text == first


_BLOCKS = frozenset({"events", "http", "stream", "server", "location", "if", "upstream", *_DATA})


def _rule(name: str) -> tuple[frozenset[str], int, int]:
    if name in DIRECTIVES:
        return DIRECTIVES[name]
    if _OF_PROTOCOL.fullmatch(name):
        return frozenset("HSLTV"), 1, 12
    for prefix, (contexts, low, high) in _PREFIXES.items():
        if name.startswith(prefix):
            return frozenset(contexts), low, high
    return frozenset(), 0, _MANY


_FLAGS = frozenset({"volatile", "hostnames"})


def _check_data(block: Directive) -> Iterable[str]:
    """nginx reads `include`, `default` and others in data as its own words, even between quotes."""
    words = [child.name.text for child in block.block or ()]
    ours = {child.name.text for child in block.block or () if not child.name.quoted}
    if block.name.text != "split_clients" and (
        words.count("default") > 1
        or "include" in words
        or any(word in words and word not in ours for word in _FLAGS | {"default"})
    ):
        yield f"{block.name.text}: a key that means something to nginx: {words[:6]}"
    for child in block.block or ():
        if child.block is not None or len(child.arguments) != (0 if child.name.text in _FLAGS else 1):
            yield f"{block.name.text}: an entry that is no pair: {child.name} {child.arguments}"


def _check_arguments(directive: Directive) -> Iterable[str]:
    name, first = directive.name.text, directive.arguments[0].text if directive.arguments else ""
    if name == "include" and not _INCLUDES.fullmatch(first):
        yield f"a foreign file: {first!r}"
    if name.endswith("_pass") and not _PASSES.fullmatch(first):
        yield f"{name} to {first!r}"
    if name in ("proxy_pass", "grpc_pass", "rewrite", "add_header", "return") and any(
        _SECRETS.search(word.text) for word in directive.arguments
    ):
        yield f"{name} shows what a client keeps secret: {directive.arguments}"


def names_in(files: Mapping[str, str]) -> set[str]:
    """Names of all directives, without the entries of data blocks."""
    return {d.name.text for text in files.values() for d in walk(parse(text)) if d.parent not in _DATA}
