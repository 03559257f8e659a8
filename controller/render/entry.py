"""The entry file of a generation, `nginx.conf`: what holds for every host.

It is made anew only where something that it depends on has changed (`Scale`). What hosts add to it is rounded up, since
another entry file is another nginx to everything that is tested and blamed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.model.configuration import Configuration, LogEscape, MainSettings
from controller.model.fragments import Fragment
from controller.model.layout import Layout
from controller.model.refs import ObjectKey
from controller.render.environment import text_of
from controller.render.families.access import geo
from controller.render.families.proxying import global_rewrites
from controller.render.global_settings import access_logs, clears_server_header, connections, of_http, open_files
from controller.render.hidden_headers import base_hidden
from controller.render.protocols import base_lists
from controller.render.quoting import NginxText, quoted, template, word
from controller.render.request_headers import base_headers, header_variable

POD_CONNECT_TIMEOUT = "500ms"
"""How long one attempt to reach a pod may take. A connection inside a cluster takes milliseconds; a pod that vanished
without a word must not cost its request seconds, and every attempt that reached nobody is made again elsewhere."""

PATIENT_CONNECT_TIMEOUT = "5s"
"""The same for ExternalName Services, which may be a continent away, and for TLS, whose handshake counts."""

METRICS_LOG_BUFFER = "buffer=64k flush=1s"

JSON_LOG_FORMAT = (
    '{"time":"$time_iso8601","remote_addr":"$remote_addr","request_id":"$req_id","method":"$request_method",'
    '"host":"$best_http_host","uri":"$request_uri","protocol":"$server_protocol","status":"$status",'
    '"bytes_sent":"$body_bytes_sent","request_length":"$request_length","request_time":"$request_time",'
    '"referer":"$http_referer","user_agent":"$http_user_agent","namespace":"$namespace","ingress":"$ingress_name",'
    '"service":"$service_name","service_port":"$service_port","upstream_addr":"$upstream_addr",'
    '"upstream_status":"$upstream_status","upstream_response_time":"$upstream_response_time",'
    '"upstream_response_length":"$upstream_response_length"}'
)


_HALVES = {"0.0.0.0/0": ("0.0.0.0/1", "128.0.0.0/1"), "::/0": ("::/1", "8000::/1")}
"""A `geo` block names everyone `default` already, and nginx warns where one is there twice."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Everything of a configuration that its entry file depends on; sizes are powers of two, so that they last, and
    large enough for what is usual: a new size means a test of everything."""

    main: MainSettings
    origins: tuple[ObjectKey, ...]
    names: int
    longest: int
    certificates: int
    preread: bool
    guards: str

    @classmethod
    def of(cls, configuration: Configuration, guards: str, longest: int) -> Scale:
        """`longest`: characters of the longest host."""
        return cls(
            main=configuration.main,
            origins=configuration.main_origins,
            names=power_of_two(4 * len(configuration.servers)),
            longest=max(128, power_of_two(longest + 48)),
            certificates=max(1000, power_of_two(2 * len(configuration.certificates))),
            preread=configuration.streams.preread,
            guards=guards,
        )


def entry(scale: Scale, layout: Layout) -> Fragment:
    """With the default settings as what takes the place of settings that nginx refuses."""
    stub = None if scale.main == MainSettings() else _text(replace(scale, main=_plain(scale.main)), layout)
    return Fragment("nginx.conf", _text(scale, layout), scale.origins, stub)


def metrics_log(layout: Layout) -> NginxText:
    return NginxText(f"access_log {quoted(layout.metrics_log)} hr_metrics {METRICS_LOG_BUFFER};")


def _text(scale: Scale, layout: Layout) -> str:
    main = scale.main
    real_ip = main.use_proxy_protocol or main.use_forwarded_headers or main.enable_real_ip
    by_protocol = main.use_proxy_protocol
    once, once_methods = _sent_once(main)
    both_sources = by_protocol and main.use_forwarded_headers
    return text_of(
        "nginx.conf",
        main=main,
        layout=layout,
        own=of_http(main, layout),
        worker_user=template_words(layout.worker_user),
        workers=main.worker_processes or layout.workers,
        open_files=open_files(main, layout),
        worker_connections=connections(main, layout),
        names_hash_size=max(power_of_two(main.server_name_hash_max_size), scale.names),
        names_bucket_size=max(power_of_two(main.server_name_hash_bucket_size), scale.longest),
        map_bucket_size=max(power_of_two(main.map_hash_bucket_size), scale.longest),
        clear_server_header=clears_server_header(main, layout),
        large_buffers=template_words(main.large_client_header_buffers),
        ssl_protocols=template_words(" ".join(main.ssl_protocols)),
        ssl_session_cache=word(f"shared:HR{scale.guards}:{main.ssl_session_cache_size}")
        if main.ssl_session_cache
        else word("off"),
        certificate_cache=scale.certificates,
        real_ip=real_ip,
        preread=scale.preread,
        real_ip_header=word("proxy_protocol" if by_protocol else main.forwarded_for_header),
        peer=NginxText("$remote_addr" if by_protocol else "$realip_remote_addr"),
        both_address_sources=both_sources,
        everyone_trusted="0.0.0.0/0" in main.proxy_real_ip_cidr,
        trusted_networks=_networks_of_geo(main.proxy_real_ip_cidr),
        forwarded_for=header_variable(main.forwarded_for_header),
        request_headers=base_headers(main).items(),
        full_forwarded_for=main.use_forwarded_headers and main.compute_full_forwarded_for,
        hsts=quoted(_hsts(main)),
        hidden=base_hidden(main),
        blocked=geo(NginxText("$hr_blocked"), 0, ((c, 1) for c in main.block_cidrs)) if main.block_cidrs else None,
        rewrites=global_rewrites(main),
        log_escape=word(LogEscape.JSON if main.access_log_format == "json" else main.log_format_escape),
        log_format=template(_log_line(main, "$the_real_ip" if both_sources else "$remote_addr")),
        logs=(*access_logs(main, layout), metrics_log(layout)),
        connect_timeout=word(connect_timeout(main, POD_CONNECT_TIMEOUT)),
        next_upstream=template_words(_next_upstream(main)),
        fastcgi_next_upstream=template_words(_next_upstream_of_fastcgi(main)),
        protocol_lists=base_lists(main),
        once_default=int(once),
        once_methods=once_methods,
        hold_question=template(_hold_question(main, layout)),
        idle_connection=quoted("" if main.upstream_keepalive_connections else "close"),
        resolvers=template_words(" ".join(layout.resolvers)),
    )


def _plain(main: MainSettings) -> MainSettings:
    """The defaults with the protections of all hosts: what takes the place of settings that nginx refused."""
    return MainSettings(
        block_cidrs=main.block_cidrs, block_user_agents=main.block_user_agents, block_referers=main.block_referers
    )


def template_words(text: str) -> NginxText:
    """Several bare words."""
    return NginxText(" ".join(word(part) for part in text.split()))


def _networks_of_geo(cidrs: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(half for cidr in cidrs for half in _HALVES.get(cidr, (cidr,))))


def power_of_two(at_least: int) -> int:
    return 1 << max(at_least - 1, 1).bit_length()


def connect_timeout(main: MainSettings, default: str) -> NginxText:
    return word(default if main.proxy_connect_timeout is None else f"{main.proxy_connect_timeout}s")


def _next_upstream(main: MainSettings) -> str:
    words = (*main.proxy_next_upstream, "non_idempotent") if main.retry_non_idempotent else main.proxy_next_upstream
    return " ".join(dict.fromkeys(words))


def _next_upstream_of_fastcgi(main: MainSettings) -> str:
    return " ".join(w for w in _next_upstream(main).split() if w not in ("http_502", "http_504")) or "off"


def _sent_once(main: MainSettings) -> tuple[bool, tuple[str, ...]]:
    """Whether a request that a pod received must not be sent again, and the methods for which that holds else.

    nginx's own rule for the next pod (ngx_http_upstream_next): `error` must be allowed, and POST, LOCK and PATCH not
    without `non_idempotent`.
    """
    allowed = _next_upstream(main).split()
    if "error" not in allowed:
        return True, ()
    return False, () if "non_idempotent" in allowed else ("POST", "LOCK", "PATCH")


def _hold_question(main: MainSettings, layout: Layout) -> str:
    """Where the controller is asked about a failed request, and what it is told: `controller.endpoints.hold_server`."""
    said = {
        "upstream": "$hr_held_upstream",
        "round": "$hr_round",
        "status": "$hr_failed_status",
        "tried": "$upstream_addr",
        "waited": "$upstream_response_time",
        "deadline": f"{main.hold_deadline}",
        "received": "$hr_received",
        "again": "$hr_again",
    }
    return f"http://unix:{layout.hold_socket}:/?" + "&".join(f"{name}={value}" for name, value in said.items())


def _hsts(main: MainSettings) -> str:
    return (
        f"max-age={main.hsts_max_age}"
        + ("; includeSubDomains" if main.hsts_include_subdomains else "")
        + ("; preload" if main.hsts_preload else "")
    )


def _log_line(main: MainSettings, client: str) -> str:
    """The format in one line; `client` is the variable that holds the client's address."""
    return re.sub(r"\$(?:remote_addr\b|\{remote_addr\})", client, re.sub(r"[\n\t]", " ", log_text(main)))


def log_text(main: MainSettings) -> str:
    return JSON_LOG_FORMAT if main.access_log_format == "json" else main.log_format_upstream
