"""Configuration in, FragmentSet out: the text of every file of a generation.

Guarantees: equal configurations give equal bytes; only `quoting` lets a string into a file; a host that has not
changed is not rendered again (the cache compares Server values, not text).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from jinja2 import Template

from controller.model.configuration import (
    CATCH_ALL,
    DEFAULT_CERTIFICATE,
    Configuration,
    LogEscape,
    MainSettings,
    ProxyPass,
    Server,
)
from controller.model.features.client_certificates import ClientCertificates
from controller.model.fragments import Fragment, FragmentSet, digest_of
from controller.model.layout import Layout
from controller.render import escaping
from controller.render.balancing import choosing, spreads
from controller.render.environment import build_environment
from controller.render.families.access import geo
from controller.render.families.proxying import global_rewrites
from controller.render.global_settings import (
    access_logs,
    clears_server_header,
    connections,
    of_http,
    open_files,
    status_networks,
    turned_away,
)
from controller.render.hidden_headers import base_hidden
from controller.render.listen import listens_of, server_names
from controller.render.locations import LocationStyle, redirect_target, written
from controller.render.protocols import base_lists
from controller.render.quoting import NginxText, file_name, hostname_regex, key, literal, quoted, template, word
from controller.render.request_headers import base_headers, header_variable
from controller.render.stream import render_streams

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
class _ServerStyle:
    """Everything besides the Server itself that its text depends on."""

    main: MainSettings
    layout: Layout
    health_path: str
    guarded: bool
    preread: bool


@dataclass(frozen=True, slots=True)
class _Host:
    """One host as text, with what it was made from, and what it wants of the file that all hosts share."""

    server: Server
    dns_ports: tuple[str, ...]
    fragment: Fragment
    shared: Mapping[str, NginxText]


@dataclass(slots=True)
class Renderer:
    """Renders configurations for one layout; keeps the last text of each host."""

    layout: Layout
    _cache: dict[str, _Host] = field(default_factory=dict)
    _style: _ServerStyle | None = None

    def render(self, configuration: Configuration) -> FragmentSet:
        """Raises `ValueError` only where translate let something pass that cannot be written: a bug of ours."""
        main = configuration.main
        guarded = any(map(_guarded, configuration.servers.values()))
        self._begin(
            _ServerStyle(main, self.layout, configuration.health_check_path, guarded, configuration.streams.preread)
        )
        hosts = [self._server(server, configuration) for server in configuration.servers.values()]
        self._cache = {host: kept for host, kept in self._cache.items() if host in configuration.servers}
        origins = configuration.main_origins
        main_text = self._main(configuration)
        stub = None if main == MainSettings() else self._main(replace(configuration, main=_plain(main)))
        return FragmentSet.of(
            [
                Fragment("nginx.conf", main_text, origins, stub),
                Fragment("upstreams.conf", self._upstreams(configuration)),
                Fragment("certificates.conf", self._certificates(configuration)),
                Fragment("shared.conf", _shared(hosts)),
                *_scripts(hosts),
                *render_streams(configuration, self.layout),
                *(host.fragment for host in hosts),
            ]
        )

    def _begin(self, style: _ServerStyle) -> None:
        if style != self._style:
            self._cache.clear()
            self._style = style

    def _text(self, name: str, **values: Any) -> str:
        return _template_of(name).render(on=_on, **values)

    # -- one host

    def _server(self, server: Server, configuration: Configuration) -> _Host:
        cached = self._cache.get(server.host)
        if cached and cached.server == server and cached.dns_ports == _dns_ports(server, configuration):
            return cached
        host = self._render_server(server, configuration)
        self._cache[server.host] = host
        return host

    def _render_server(self, server: Server, configuration: Configuration) -> _Host:
        main, is_default = configuration.main, server.host == CATCH_ALL
        health_path = _health_path(server, configuration.health_check_path)
        style = LocationStyle(main, self.layout, configuration.upstreams, self._metrics_log())
        common = {
            "server_name": server_names(server),
            "listens": listens_of(self.layout, main, default=is_default, preread=configuration.streams.preread),
        }
        host = written(server, style, may_redirect_at_once=not health_path)
        first = (*server.locations, server.fallback)[0]
        text = self._text(
            "server.conf",
            **common,
            reject_handshake=is_default and main.ssl_reject_handshake,
            blocks=bool(main.block_cidrs),
            turned_away=turned_away(main),
            status=status_networks(main, self.layout) if is_default else (),
            misdirected=bool(self._style and self._style.guarded and not _guarded(server)),
            before=host.elsewhere.http,
            lines=host.elsewhere.server,
            internal=host.elsewhere.locations,
            server_redirect=redirect_target(first, self.layout.public_https_port) if host.one_redirect else None,
            server_route=f"{server.origins[0].path}///" if server.origins else "",
            redirect_code=main.http_redirect_code,
            health_path=health_path,
            locations=host.locations,
            holds=host.holds,
            agains=host.agains,
            faileds=host.faileds,
            log_upstream_name="proxy_upstream_name" in _log_text(main),
            log_location_path="location_path" in _log_text(main),
            patient_connect_timeout=_connect_timeout(main, PATIENT_CONNECT_TIMEOUT),
            hold=main.hold,
            hold_deadline=main.hold_deadline,
            hold_timeout=int(main.hold_deadline) + 1,
        )
        path = f"servers/{file_name(server.host, digest_of(server.host))}.conf"
        fragment = Fragment(path, text, server.origins, self._text("stub.conf", **common))
        return _Host(server, _dns_ports(server, configuration), fragment, host.elsewhere.shared)

    # -- files for all hosts

    def _main(self, configuration: Configuration) -> str:
        main, layout = configuration.main, self.layout
        names = len(configuration.servers)
        longest = max((len(host) for host in configuration.servers), default=0)
        real_ip = main.use_proxy_protocol or main.use_forwarded_headers or main.enable_real_ip
        by_protocol = main.use_proxy_protocol
        once, once_methods = _sent_once(main)
        both_sources = by_protocol and main.use_forwarded_headers
        return self._text(
            "nginx.conf",
            main=main,
            layout=layout,
            own=of_http(main, layout),
            worker_user=template_words(layout.worker_user),
            workers=main.worker_processes or layout.workers,
            open_files=open_files(main, layout),
            worker_connections=connections(main, layout),
            names_hash_size=_power_of_two(max(main.server_name_hash_max_size, 4 * names)),
            names_bucket_size=_power_of_two(max(main.server_name_hash_bucket_size, longest + 48)),
            map_bucket_size=_power_of_two(max(main.map_hash_bucket_size, longest + 48)),
            clear_server_header=clears_server_header(main, layout),
            large_buffers=template_words(main.large_client_header_buffers),
            ssl_protocols=template_words(" ".join(main.ssl_protocols)),
            ssl_session_cache=word(f"shared:HR{_guards(configuration)}:{main.ssl_session_cache_size}")
            if main.ssl_session_cache
            else word("off"),
            certificate_cache=max(1000, 2 * len(configuration.certificates)),
            real_ip=real_ip,
            preread=configuration.streams.preread,
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
            logs=self._logs(main),
            connect_timeout=word(_connect_timeout(main, POD_CONNECT_TIMEOUT)),
            next_upstream=template_words(_next_upstream(main)),
            fastcgi_next_upstream=template_words(_next_upstream_of_fastcgi(main)),
            protocol_lists=base_lists(main),
            once_default=int(once),
            once_methods=once_methods,
            hold_socket=literal(f"http://unix:{layout.hold_socket}"),
            idle_connection=quoted("" if main.upstream_keepalive_connections else "close"),
            resolvers=template_words(" ".join(layout.resolvers)),
        )

    def _upstreams(self, configuration: Configuration) -> str:
        upstreams = tuple(configuration.upstreams.values())
        return self._text(
            "upstreams.conf",
            upstreams=[(upstream, choosing(upstream, self.layout.nginx)) for upstream in upstreams],
            spreads=spreads(upstreams),
            main=configuration.main,
            zone_size=_power_of_two(max(32, len(upstreams) // 64)),
            keepalive=_keepalive(configuration.main.upstream_keepalive_connections, len(upstreams)),
        )

    def _certificates(self, configuration: Configuration) -> str:
        """A host without a tls section is left out, so that its wildcard's certificate can serve it."""
        default = configuration.default_certificate or DEFAULT_CERTIFICATE
        servers = configuration.servers.values()
        named = [(server.host, server.certificate) for server in servers if server.host]
        named += [alias for server in servers for alias in server.aliases]
        own = [(host, default if c == DEFAULT_CERTIFICATE else c) for host, c in named if c is not None]
        return self._text(
            "certificates.conf",
            default=default,
            exact=[(host, c) for host, c in own if not host.startswith("*.")],
            wildcards=[(host[1:], c) for host, c in own if host.startswith("*.")],
            guarded=_guarded_names(configuration.servers),
            guarded_by_default=int(_guarded(configuration.servers[CATCH_ALL])),
        )

    # -- logs

    def _logs(self, main: MainSettings) -> tuple[NginxText, ...]:
        return *access_logs(main, self.layout), self._metrics_log()

    def _metrics_log(self) -> NginxText:
        return NginxText(f"access_log {quoted(self.layout.metrics_log)} hr_metrics {METRICS_LOG_BUFFER};")


def _plain(main: MainSettings) -> MainSettings:
    """The defaults with the protections of all hosts: what takes the place of settings that nginx refused."""
    return MainSettings(
        block_cidrs=main.block_cidrs, block_user_agents=main.block_user_agents, block_referers=main.block_referers
    )


@cache
def _template_of(name: str) -> Template:
    return build_environment().get_template(f"{name}.j2")


def _shared(hosts: Iterable[_Host]) -> str:
    blocks = {key: block for host in hosts for key, block in host.shared.items()}
    return "".join(f"{blocks[key]}\n" for key in sorted(blocks))


def _scripts(hosts: Iterable[_Host]) -> tuple[Fragment, ...]:
    used = any(f"from {escaping.SCRIPT_NAME};" in block for host in hosts for block in host.shared.values())
    return (Fragment(escaping.SCRIPT_NAME, escaping.SCRIPT),) if used else ()


def template_words(text: str) -> NginxText:
    """Several bare words."""
    return NginxText(" ".join(word(part) for part in text.split()))


def _networks_of_geo(cidrs: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(half for cidr in cidrs for half in _HALVES.get(cidr, (cidr,))))


def _guarded(server: Server) -> bool:
    """Whether its handshake asks clients for certificates."""
    return any(isinstance(feature, ClientCertificates) and feature.guards for feature in server.features)


def _guards(configuration: Configuration) -> str:
    """A digest of who may get in, empty where that is everyone.

    A session that is taken up again is not verified anew. So sessions are kept where only those of the present
    authorities and revocation lists are.
    """
    found = [
        (server.host, feature)
        for server in configuration.servers.values()
        for feature in server.features
        if isinstance(feature, ClientCertificates) and feature.guards
    ]
    return f"_{digest_of(repr(found))}" if found else ""


def _guarded_names(servers: Mapping[str, Server]) -> list[tuple[NginxText, int]]:
    """Names of handshakes and whether certificates are asked for; none where no host asks."""
    asks = {server.host: _guarded(server) for server in servers.values()}
    if not any(asks.values()):
        return []
    names = [
        (name, asks[server.host])
        for server in servers.values()
        if server.host
        for name in (server.host, *(alias.name for alias in server.aliases))
    ]
    wide = asks[CATCH_ALL] or any(name.startswith("*.") and asked for name, asked in names)
    return [(_sni_key(name), int(asked)) for name, asked in names if asked or wide]


def _sni_key(name: str) -> NginxText:
    return NginxText(hostname_regex(name).replace('"~', '"~*', 1)) if name.startswith("*.") else key(name)


def _on(flag: bool) -> NginxText:
    return NginxText("on" if flag else "off")


def _dns_ports(server: Server, configuration: Configuration) -> tuple[str, ...]:
    actions = (location.action for location in (*server.locations, server.fallback))
    return tuple(configuration.upstreams[a.upstream].dns_port for a in actions if isinstance(a, ProxyPass))


def _health_path(server: Server, path: str) -> str:
    taken = any(location.match.path == path for location in server.locations)
    return path if server.host == CATCH_ALL and not taken else ""


def _power_of_two(at_least: int) -> int:
    return 1 << max(at_least - 1, 1).bit_length()


def _keepalive(wanted: int, upstreams: int) -> int:
    """Idle connections per worker and upstream. nginx sets memory aside for each place, so many upstreams get fewer."""
    if wanted == 0 or upstreams == 0:
        return wanted
    share = max(8, 20_000 // upstreams)
    return min(wanted, 1 << (share.bit_length() - 1))


def _connect_timeout(main: MainSettings, default: str) -> NginxText:
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


def _hsts(main: MainSettings) -> str:
    return (
        f"max-age={main.hsts_max_age}"
        + ("; includeSubDomains" if main.hsts_include_subdomains else "")
        + ("; preload" if main.hsts_preload else "")
    )


def _log_line(main: MainSettings, client: str) -> str:
    """The format in one line; `client` is the variable that holds the client's address."""
    return re.sub(r"\$(?:remote_addr\b|\{remote_addr\})", client, re.sub(r"[\n\t]", " ", _log_text(main)))


def _log_text(main: MainSettings) -> str:
    return JSON_LOG_FORMAT if main.access_log_format == "json" else main.log_format_upstream
