"""The `stream` block: TCP and UDP services and TLS that is passed through, one file for each.

A file of its own lets one port or host that nginx refuses be set apart; the stand-in of a port is silence, that of a
host hangs up, since its TLS is never to be ended here.

TLS that is not passed through costs nothing: `pass` gives the accepted connection to the HTTP side as it is, before a
byte of it was taken (https://nginx.org/en/docs/stream/ngx_stream_pass_module.html), so there is no second connection
and the client's address, HTTP/2 and the PROXY protocol are what they would be without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from jinja2 import Template

from controller.model.configuration import Configuration, MainSettings
from controller.model.fragments import Address, Fragment, digest_of
from controller.model.layout import Layout
from controller.model.stream import Passthrough, StreamServer, Transport
from controller.render.environment import build_environment
from controller.render.families.access import geo
from controller.render.global_settings import connections
from controller.render.listen import addresses_of, https_listens
from controller.render.quoting import NginxText, file_name, quoted, template, word

CONNECT_TIMEOUT = "2s"
"""For one pod: time for one more try of the kernel, which comes after a second."""

EXTERNAL_CONNECT_TIMEOUT = "5s"

_EMPTY = "# nothing to serve\n"
_HALVES = {"0.0.0.0/0": ("0.0.0.0/1", "128.0.0.0/1"), "::/0": ("::/1", "8000::/1")}
_CLIENT = NginxText("$hr_stream_client")


def render_streams(configuration: Configuration, layout: Layout) -> list[Fragment]:
    """`stream.conf`, which says nothing where there is nothing, and the files that it includes."""
    streams, main = configuration.streams, configuration.main
    if not streams:
        return [Fragment("stream.conf", _EMPTY)]
    stub = _block(replace(configuration, main=MainSettings(use_proxy_protocol=main.use_proxy_protocol)), layout)
    block = Fragment("stream.conf", _block(configuration, layout), configuration.main_origins, stub)
    servers = (_server(server, configuration, layout) for server in streams.servers)
    hosts = (_passthrough(host, configuration, layout) for host in streams.passthrough)
    return [block, *servers, *hosts]


def _block(configuration: Configuration, layout: Layout) -> str:
    streams, main = configuration.streams, configuration.main
    longest = max((len(host.host) for host in streams.passthrough), default=0)
    return _template_of("stream.conf").render(
        on=_on,
        main=main,
        log_format=template(_log_line(main)),
        log=_log(main, layout),
        resolvers=NginxText(" ".join(word(address) for address in layout.resolvers)),
        names_hash_size=_power_of_two(max(512, 4 * len(streams.passthrough))),
        names_bucket_size=_power_of_two(max(64, longest + 48)),
        trusted_networks=_networks(main),
        upstreams=tuple(streams.upstreams.values()),
        zone_size=_power_of_two(max(1, len(streams.upstreams) // 64)),
        preread=streams.preread,
        udp_clients=_udp_clients(configuration, layout),
        refuses=any(host.allowed or host.denied for host in streams.passthrough),
        listens=https_listens(layout, main, " default_server", " backlog=4096"),
        https_socket=quoted(f"unix:{layout.https_socket}"),
        refused_socket=quoted(f"unix:{layout.refused_socket}"),
    )


def _server(server: StreamServer, configuration: Configuration, layout: Layout) -> Fragment:
    main, is_udp = configuration.main, server.transport is Transport.UDP
    # Packets of one UDP client must come to one worker, and workers that share a socket take them as they come.
    options = " udp reuseport" if is_udp else " proxy_protocol" if server.accepts_proxy else ""
    places = [f"{address}:{server.port}" for address in addresses_of(layout, main)]
    text = _template_of("stream_server.conf").render(
        listens=[NginxText(f"{place}{options}") for place in places],
        trusted_networks=main.proxy_real_ip_cidr if server.accepts_proxy else (),
        sends_proxy=server.sends_proxy,
        responses=main.proxy_stream_responses if is_udp else None,
        udp_clients=_udp_clients(configuration, layout) if is_udp else 0,
        connect_timeout=_connect_timeout(server.upstream, configuration),
        upstream=server.upstream,
    )
    listens = tuple(Address(place, server.transport) for place in places)
    path = f"streams/{server.transport.lower()}-{server.port}.conf"
    return Fragment(path, text, (server.origin,), _EMPTY, listens=listens)


def _udp_clients(configuration: Configuration, layout: Layout) -> int:
    """How many clients of one UDP service may wait at a time; 0 without such services.

    Each takes two connections of a worker; half of the connections of all workers are for all UDP services.
    """
    services = sum(server.transport is Transport.UDP for server in configuration.streams.servers)
    everything = connections(configuration.main, layout) * (configuration.main.worker_processes or layout.workers)
    return max(1, everything // 4 // services) if services else 0


def _passthrough(host: Passthrough, configuration: Configuration, layout: Layout) -> Fragment:
    listens = https_listens(layout, configuration.main)
    blocks, target = _target(host)
    text = _template_of("stream_passthrough.conf").render(
        blocks=blocks,
        listens=listens,
        host=host.host,
        connect_timeout=_connect_timeout(host.upstream, configuration),
        target=target,
    )
    lines = "".join(f"    listen {listen};\n" for listen in listens)
    stub = f'server {{\n{lines}    server_name {word(host.host)};\n    ssl_preread on;\n    return "";\n}}\n'
    path = f"streams/host-{file_name(host.host, digest_of(host.host))}.conf"
    return Fragment(path, text, host.origins, stub)


def _target(host: Passthrough) -> tuple[list[NginxText], NginxText]:
    """Blocks that choose where a client goes, and the choice."""
    blocks, names = [], []
    for kind, networks in (("denied", host.denied), ("allowed", host.allowed)):
        if networks:
            names.append(NginxText(f"$hr_stream_{kind}_{digest_of(host.host)}"))
            inside = int(kind == "denied")
            blocks.append(geo(names[-1], 1 - inside, ((cidr, inside) for cidr in networks), _CLIENT))
    if not names:
        return [], word(host.upstream)
    target = NginxText(f"$hr_stream_target_{digest_of(host.host)}")
    keys = quoted("".join(names))
    good = quoted("0" * len(names))
    blocks.append(NginxText(f"map {keys} {target} {{ default hr_refused; {good} {word(host.upstream)}; }}"))
    return blocks, target


def _connect_timeout(upstream: str, configuration: Configuration) -> NginxText:
    external = configuration.streams.upstreams[upstream].external
    return word(EXTERNAL_CONNECT_TIMEOUT if external else CONNECT_TIMEOUT)


def _networks(main: MainSettings) -> Iterable[str]:
    return tuple(dict.fromkeys(half for cidr in main.proxy_real_ip_cidr for half in _HALVES.get(cidr, (cidr,))))


def _log_line(main: MainSettings) -> str:
    """The format in one line, with the client as the PROXY protocol announced it."""
    return re.sub(r"\$(?:remote_addr\b|\{remote_addr\})", _CLIENT, re.sub(r"[\n\t]", " ", main.log_format_stream))


def _log(main: MainSettings, layout: Layout) -> NginxText:
    if main.disable_access_log or main.disable_stream_access_log:
        return NginxText("access_log off;")
    target = main.stream_access_log_path or main.access_log_path or layout.access_log
    return NginxText(f"access_log {quoted(target)} hr_stream;")


def _on(flag: bool) -> NginxText:
    return NginxText("on" if flag else "off")


def _power_of_two(at_least: int) -> int:
    return 1 << max(at_least - 1, 1).bit_length()


@cache
def _template_of(name: str) -> Template:
    return build_environment().get_template(f"{name}.j2")
