"""The files that hold a little of every host: upstreams, and names with their certificates.

Both keep the lines that they are made of, so that a change of one host among thousands writes those of one host. The
lines are in the order of their names, whatever came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.model.configuration import CATCH_ALL, DEFAULT_CERTIFICATE, MainSettings, Server, Upstream
from controller.model.deltas import patched
from controller.model.features.balancing import IN_TURN
from controller.model.features.client_certificates import ClientCertificates
from controller.model.fragments import Fragment
from controller.model.layout import Layout
from controller.render.balancing import choosing, spreads
from controller.render.entry import power_of_two
from controller.render.environment import text_of
from controller.render.part import Lines
from controller.render.quoting import NginxText, hostname_regex, key, literal


@dataclass(slots=True)
class UpstreamsFile:
    """`_special`: upstreams that need more than their own block."""

    layout: Layout
    _blocks: dict[str, str] = field(default_factory=dict)
    _special: dict[str, Upstream] = field(default_factory=dict)
    _style: tuple[MainSettings, int, int] | None = None
    _made: Fragment | None = None

    def write(
        self, upstreams: Mapping[str, Upstream], changes: Mapping[str, Upstream | None], main: MainSettings
    ) -> Fragment:
        """`changes`: what makes these upstreams of those of the last call."""
        style = main, _zone_size(len(upstreams)), _keepalive(main.upstream_keepalive_connections, len(upstreams))
        if style != self._style:
            self._style, self._blocks, self._special, changes = style, {}, {}, dict(upstreams)
        elif self._made is not None and not changes:
            return self._made
        for name, upstream in changes.items():
            self._special.pop(name, None)
            if upstream is not None and (upstream.sticks or upstream.balancing != IN_TURN):
                self._special[name] = upstream
        self._blocks = patched(self._blocks, {n: self._text([u]) if u else None for n, u in changes.items()})
        first = self._text([], spreads([self._special[name] for name in sorted(self._special)]))
        self._made = Fragment("upstreams.conf", first + "".join(self._blocks.values()))
        return self._made

    def _text(self, upstreams: Iterable[Upstream], before: Lines = ()) -> str:
        assert self._style is not None
        main, zone_size, keepalive = self._style
        pairs = [(upstream, choosing(upstream, self.layout.nginx)) for upstream in upstreams]
        return text_of(
            "upstreams.conf", upstreams=pairs, spreads=before, main=main, zone_size=zone_size, keepalive=keepalive
        )


@dataclass(slots=True)
class CertificatesFile:
    """Which name shows which certificate, and asks for certificates of clients."""

    _exact: dict[str, NginxText] = field(default_factory=dict)
    _wildcards: dict[str, NginxText] = field(default_factory=dict)
    _of: tuple[object, ...] = ()
    _made: Fragment | None = None

    def write(
        self,
        servers: Mapping[str, Server],
        gone: Iterable[Server],
        fresh: Iterable[Server],
        default: str,
        asking: list[tuple[NginxText, int]],
    ) -> Fragment:
        """`gone`, `fresh`: what makes these servers of those of the last call. `asking`: as `guarded_names` has it."""
        if self._of[:1] != (default,):
            self._exact, self._wildcards, gone, fresh = {}, {}, (), servers.values()
        lines = dict.fromkeys((name for server in gone for name, _ in _names(server)))
        lines |= {name: _line(name, c or default) for server in fresh for name, c in _names(server)}
        of = (default, asking, guarded(servers[CATCH_ALL]))
        if self._made is None or of != self._of or lines:
            self._exact = patched(self._exact, {n: line for n, line in lines.items() if not n.startswith("*.")})
            self._wildcards = patched(self._wildcards, {n: line for n, line in lines.items() if n.startswith("*.")})
            self._of, self._made = of, self._fragment(default, asking, by_default=guarded(servers[CATCH_ALL]))
        return self._made

    def _fragment(self, default: str, asking: list[tuple[NginxText, int]], *, by_default: bool) -> Fragment:
        text = text_of(
            "certificates.conf",
            default=default,
            exact=NginxText("".join(self._exact.values())),
            wildcards=NginxText("".join(self._wildcards.values())),
            guarded=asking,
            guarded_by_default=int(by_default),
        )
        return Fragment("certificates.conf", text)


def _names(server: Server) -> Iterable[tuple[str, str | None]]:
    """A host without a tls section is left out, so that its wildcard's certificate can serve it. None is the default
    certificate."""
    pairs = ((server.host, server.certificate), *server.aliases)
    return ((name, None if c == DEFAULT_CERTIFICATE else c) for name, c in pairs if name and c is not None)


def _line(name: str, certificate: str) -> NginxText:
    return NginxText(f"    {key(name.removeprefix('*'))} {literal(certificate)};\n")


def _zone_size(upstreams: int) -> int:
    return power_of_two(max(32, upstreams // 64))


def _keepalive(wanted: int, upstreams: int) -> int:
    """Idle connections per worker and upstream. nginx sets memory aside for each place, so many upstreams get fewer."""
    if wanted == 0 or upstreams == 0:
        return wanted
    share = max(8, 20_000 // upstreams)
    return min(wanted, 1 << (share.bit_length() - 1))


def guarded(server: Server) -> bool:
    """Whether its handshake asks clients for certificates."""
    return any(isinstance(feature, ClientCertificates) and feature.guards for feature in server.features)


def guarded_names(servers: Mapping[str, Server]) -> list[tuple[NginxText, int]]:
    """Names of handshakes and whether certificates are asked for."""
    asks = {server.host: guarded(server) for server in servers.values()}
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
