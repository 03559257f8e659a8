"""Configuration in, FragmentSet out: the text of every file of a generation.

Guarantees: equal configurations give equal bytes; only `quoting` lets a string into a file; a host that has not
changed is not rendered again. What changed is found by comparing with the configuration before: the translator hands
out the same objects for what is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.model.configuration import (
    CATCH_ALL,
    DEFAULT_CERTIFICATE,
    Configuration,
    MainSettings,
    ProxyPass,
    Server,
    Upstream,
)
from controller.model.deltas import delta
from controller.model.features.client_certificates import ClientCertificates
from controller.model.fragments import Fragment, FragmentSet, digest_of
from controller.model.layout import Layout
from controller.render import escaping
from controller.render.entry import PATIENT_CONNECT_TIMEOUT, Scale, connect_timeout, entry, log_text, metrics_log
from controller.render.environment import text_of
from controller.render.global_settings import status_networks, turned_away
from controller.render.listen import certificate_lines, listens_of, server_names, with_own_tls
from controller.render.locations import LocationStyle, redirect_target, written
from controller.render.quoting import NginxText, file_name
from controller.render.shared_files import CertificatesFile, UpstreamsFile, guarded, guarded_names
from controller.render.stream import render_streams


@dataclass(frozen=True, slots=True)
class _ServerStyle:
    """Everything besides the Server itself that its text depends on. `tls_of_all`: handshakes of the catch-all follow
    the rules of all hosts."""

    main: MainSettings
    layout: Layout
    health_path: str
    guarded: bool
    preread: bool
    tls_of_all: bool


@dataclass(frozen=True, slots=True)
class _Host:
    """One host as text, with what it was made from, and what it wants of the file that all hosts share."""

    server: Server
    dns_ports: tuple[str, ...]
    fragment: Fragment
    shared: Mapping[str, NginxText]


@dataclass(slots=True)
class _Written:
    """What was written last, and of what. `featured`: servers with features; `sharing`: hosts with `shared` blocks.
    `lengths`: how many hosts have names of so many characters."""

    style: _ServerStyle
    upstreams_file: UpstreamsFile
    certificates_file: CertificatesFile = field(default_factory=CertificatesFile)
    servers: Mapping[str, Server] = field(default_factory=dict)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    featured: dict[str, Server] = field(default_factory=dict)
    hosts: dict[str, _Host] = field(default_factory=dict)
    sharing: dict[str, _Host] = field(default_factory=dict)
    scale: Scale | None = None
    entry: Fragment | None = None
    everyones: list[Fragment] = field(default_factory=list)
    fragments: FragmentSet = field(default_factory=lambda: FragmentSet.of(()))
    lengths: Counter[int] = field(default_factory=Counter)

    def count(self, host: str, server: Server | None) -> None:
        """A host that came or went, among the lengths of all."""
        length, known = len(host), host in self.servers
        self.lengths[length] += (server is not None) - known
        if not self.lengths[length]:
            del self.lengths[length]


class Renderer:
    """Renders configurations for one layout, one after the other; keeps what it wrote last."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._last: _Written | None = None

    def render(self, configuration: Configuration) -> FragmentSet:
        """Raises `ValueError` only where translate let something pass that cannot be written: a bug of ours."""
        last, self._last = self._last, None  # a fault on the way leaves nothing that could be built on
        last = last or self._nothing(self._style_of(configuration, ()))
        changed = delta(last.servers, configuration.servers)
        for host, server in changed.items():
            last.count(host, server)
            last.featured.pop(host, None)
            if server is not None and server.features:
                last.featured[host] = server
        style = self._style_of(configuration, last.featured.values())
        if style != last.style:
            before, last, changed = last, self._nothing(style), dict(configuration.servers)
            last.featured, last.lengths = before.featured, before.lengths
        last.fragments = last.fragments.patched(self._changes(configuration, last, changed))
        self._last = last
        return last.fragments

    def _nothing(self, style: _ServerStyle) -> _Written:
        return _Written(style, UpstreamsFile(self.layout))

    def _style_of(self, configuration: Configuration, featured: Iterable[Server]) -> _ServerStyle:
        return _ServerStyle(
            configuration.main,
            self.layout,
            configuration.health_check_path,
            any(map(guarded, featured)),
            configuration.streams.preread,
            not with_own_tls(configuration.servers[CATCH_ALL]),
        )

    def _changes(
        self, configuration: Configuration, last: _Written, changed: Mapping[str, Server | None]
    ) -> dict[str, Fragment | None]:
        """Files that are other ones than before, None for those that are not needed any more."""
        of_upstreams = delta(last.upstreams, configuration.upstreams)
        gone = [last.servers[host] for host in changed if host in last.servers]
        other = any(u is not None and name in last.upstreams for name, u in of_upstreams.items())
        changes = self._hosts(configuration, last, changed, other=other)
        asking = guarded_names(configuration.servers) if last.style.guarded else []
        default = configuration.default_certificate or DEFAULT_CERTIFICATE
        fresh = list(filter(None, changed.values()))
        before, last.everyones = (
            last.everyones,
            [
                self._entry(configuration, last),
                last.upstreams_file.write(configuration.upstreams, of_upstreams, configuration.main),
                last.certificates_file.write(configuration.servers, gone, fresh, default, asking),
                Fragment("shared.conf", _shared(last.sharing.values())),
                *_scripts(last.sharing.values()),
                *render_streams(configuration, self.layout),
            ],
        )
        last.servers, last.upstreams = configuration.servers, configuration.upstreams
        changes |= {fragment.path: None for fragment in before}
        return changes | {fragment.path: fragment for fragment in last.everyones}

    def _entry(self, configuration: Configuration, last: _Written) -> Fragment:
        guards = _guards(server for _, server in sorted(last.featured.items()))
        scale = Scale.of(configuration, guards, max(last.lengths))
        if last.entry is None or scale != last.scale:
            last.scale, last.entry = scale, entry(scale, self.layout)
        return last.entry

    # -- hosts

    def _hosts(
        self, configuration: Configuration, last: _Written, changed: Mapping[str, Server | None], *, other: bool
    ) -> dict[str, Fragment | None]:
        """Files of hosts that are other ones. `other`: an upstream that hosts may name is another one, too."""
        looked_at = {**changed, **configuration.servers} if other else changed
        files: dict[str, Fragment | None] = {}
        for host, server in looked_at.items():
            before = last.hosts.pop(host, None)
            last.sharing.pop(host, None)
            if before is not None:
                files[before.fragment.path] = None
            if server is not None:
                now = last.hosts[host] = self._host(before, server, configuration, last.style)
                files[now.fragment.path] = now.fragment
                if now.shared:
                    last.sharing[host] = now
        return files

    def _host(self, before: _Host | None, server: Server, configuration: Configuration, style: _ServerStyle) -> _Host:
        if before and before.server == server and before.dns_ports == _dns_ports(server, configuration):
            return replace(before, server=server)
        return self._render_server(server, configuration, style)

    def _render_server(self, server: Server, configuration: Configuration, style: _ServerStyle) -> _Host:
        main, is_default = configuration.main, server.host == CATCH_ALL
        own_tls = is_default or not style.tls_of_all or with_own_tls(server)
        health_path = _health_path(server, configuration.health_check_path)
        of_locations = LocationStyle(main, self.layout, configuration.upstreams, metrics_log(self.layout))
        common = {
            "server_name": server_names(server),
            "listens": listens_of(self.layout, main, default=is_default, preread=configuration.streams.preread),
            "certificate": certificate_lines(self.layout) if own_tls else (),
        }
        host = written(server, of_locations, may_redirect_at_once=not health_path)
        first = (*server.locations, server.fallback)[0]
        text = text_of(
            "server.conf",
            **common,
            reject_handshake=is_default and main.ssl_reject_handshake,
            blocks=bool(main.block_cidrs),
            turned_away=turned_away(main),
            status=status_networks(main, self.layout) if is_default else (),
            misdirected=style.guarded and not guarded(server),
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
            log_upstream_name="proxy_upstream_name" in log_text(main),
            log_location_path="location_path" in log_text(main),
            patient_connect_timeout=connect_timeout(main, PATIENT_CONNECT_TIMEOUT),
            hold=main.hold,
            hold_timeout=int(main.hold_deadline) + 1,
        )
        path = f"servers/{file_name(server.host, digest_of(server.host))}.conf"
        fragment = Fragment(path, text, server.origins, text_of("stub.conf", **common))
        return _Host(server, _dns_ports(server, configuration), fragment, host.elsewhere.shared)


def _shared(hosts: Iterable[_Host]) -> str:
    blocks = {key: block for host in hosts for key, block in host.shared.items()}
    return "".join(f"{blocks[key]}\n" for key in sorted(blocks))


def _scripts(hosts: Iterable[_Host]) -> tuple[Fragment, ...]:
    used = any(f"from {escaping.SCRIPT_NAME};" in block for host in hosts for block in host.shared.values())
    return (Fragment(escaping.SCRIPT_NAME, escaping.SCRIPT),) if used else ()


def _guards(servers: Iterable[Server]) -> str:
    """A digest of who may get in, empty where that is everyone.

    A session that is taken up again is not verified anew. So sessions are kept where only those of the present
    authorities and revocation lists are.
    """
    found = [
        (server.host, feature)
        for server in servers
        for feature in server.features
        if isinstance(feature, ClientCertificates) and feature.guards
    ]
    return f"_{digest_of(repr(found))}" if found else ""


def _dns_ports(server: Server, configuration: Configuration) -> tuple[str, ...]:
    actions = (location.action for location in (*server.locations, server.fallback))
    return tuple(configuration.upstreams[a.upstream].dns_port for a in actions if isinstance(a, ProxyPass))


def _health_path(server: Server, path: str) -> str:
    taken = any(location.match.path == path for location in server.locations)
    return path if server.host == CATCH_ALL and not taken else ""
