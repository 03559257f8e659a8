"""Access lists and limits.

The client's address is `$the_real_ip`. It differs from `$remote_addr`, which nginx's `allow` and `deny` look at, only
where both PROXY protocol and a header may name the client.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.configuration import MainSettings
from controller.model.features.access import AccessLists, Bandwidth, Limits
from controller.render.part import Context, Part, digest
from controller.render.quoting import NginxText, word

ZONE_SIZE = "5m"
"""About 40,000 clients (https://nginx.org/en/docs/http/ngx_http_limit_req_module.html#limit_req_zone)."""

CLIENT = NginxText("$the_real_ip")
_HALVES = {"0.0.0.0/0": ("0.0.0.0/1", "128.0.0.0/1"), "::/0": ("::/1", "8000::/1")}
"""A `geo` block names everyone `default` already, and nginx warns where one is there twice."""


def access_lists(feature: AccessLists, context: Context) -> Part:
    if address_is_mapped(context.main):
        return _mapped_lists(feature)
    lines = [NginxText(f"deny {word(cidr)};") for cidr in feature.denied]
    lines += [NginxText(f"allow {word(cidr)};") for cidr in feature.allowed]
    if feature.allowed:
        lines.append(NginxText("deny all;"))
    return Part(gate=tuple(lines))


def address_is_mapped(main: MainSettings) -> bool:
    return main.use_proxy_protocol and main.use_forwarded_headers


def _mapped_lists(feature: AccessLists) -> Part:
    """`satisfy any` does not lift these, which is the safe side."""
    gate, http = [], []
    for kind, networks in (("denied", feature.denied), ("allowed", feature.allowed)):
        if networks:
            name = NginxText(f"$hr_{kind}_{digest(networks)}")
            inside = int(kind == "denied")
            http.append(geo(name, 1 - inside, ((cidr, inside) for cidr in networks)))
            gate.append(NginxText(f"if ({name}) {{ return 403; }}"))
    return Part(gate=tuple(gate), http=tuple(http))


def geo(name: NginxText, default: int, networks: Iterable[tuple[str, int]], client: NginxText = CLIENT) -> NginxText:
    """A block that maps the client's address to a number; the longest prefix that holds it counts."""
    lines = [f"    {word(half)} {value};" for cidr, value in networks for half in _HALVES.get(cidr, (cidr,))]
    return NginxText("\n".join([f"geo {client} {name} {{", f"    default {default};", *lines, "}"]))


def limits(feature: Limits, context: Context) -> Part:
    """A zone keeps its key as long as it has its name, or nginx would refuse to reload: so the key is in the name."""
    key, blocks = _key(feature, context.main)
    owner = digest(feature.owner, key)
    shared, gate = dict(blocks), []
    for kind, each_minute, burst in (
        ("second", 60 * feature.per_second, feature.burst_of_second),
        ("minute", feature.per_minute, feature.burst_of_minute),
    ):
        if each_minute:
            zone = NginxText(f"hr_{kind}_{owner}")
            shared[zone] = NginxText(
                f"limit_req_zone {key} zone={zone}:{ZONE_SIZE} rate={_rate(each_minute, feature)};"
            )
            bursts = f" burst={word(_share(burst, feature))}" if burst else ""
            gate.append(NginxText(f"limit_req zone={zone}{bursts} nodelay;"))
    if feature.connections:
        zone = NginxText(f"hr_connections_{owner}")
        shared[zone] = NginxText(f"limit_conn_zone {key} zone={zone}:{ZONE_SIZE};")
        gate.append(NginxText(f"limit_conn {zone} {word(_share(feature.connections, feature))};"))
    return Part(gate=tuple(gate), shared=shared)


def _share(amount: int, feature: Limits) -> int:
    """Rounded up: no replica may take everything away."""
    return -(-amount // feature.replicas)


def _rate(each_minute: int, feature: Limits) -> str:
    share = _share(each_minute, feature)
    return f"{word(share)}r/m" if share % 60 else f"{word(share // 60)}r/s"


def _key(feature: Limits, main: MainSettings) -> tuple[NginxText, dict[str, NginxText]]:
    """What is counted by, and the blocks that make it. An empty key is not counted."""
    plain = NginxText(main.limit_conn_zone_variable)
    if plain == "$binary_remote_addr" and address_is_mapped(main):
        plain = NginxText("$the_real_ip")
    if not feature.exempt:
        return plain, {}
    name = digest(feature.exempt, plain)
    counted, key = NginxText(f"$hr_counted_{name}"), NginxText(f"$hr_limit_key_{name}")
    return key, {
        counted: geo(counted, 1, ((cidr, 0) for cidr in feature.exempt)),
        key: NginxText(f'map {counted} {key} {{ default ""; 1 {plain}; }}'),
    }


def bandwidth(feature: Bandwidth, context: Context) -> Part:
    lines = []
    if feature.rate is not None:
        lines.append(NginxText(f"limit_rate {word(feature.rate)}k;"))
    if feature.after is not None:
        lines.append(NginxText(f"limit_rate_after {word(feature.after)}k;"))
    return Part(response=tuple(lines))
