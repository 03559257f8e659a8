"""Lines of an upstream that say which pod gets a request.

`hash ... consistent` places each pod by the name that our DNS gives it, so all replicas of the controller agree, and a
pod that leaves moves its own keys alone. A cookie that names a pod comes before; where that pod is gone the same hash
of the cookie finds another one, which therefore needs no new cookie.

Sources: https://nginx.org/en/docs/http/ngx_http_upstream_module.html and .../ngx_http_upstream_hash_module.html.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.configuration import Upstream
from controller.model.features.balancing import Balancing, Method, Sticks
from controller.model.layout import NginxBinary
from controller.render.families.affinity import pod_of_cookie, same_site_of
from controller.render.part import Lines
from controller.render.quoting import NginxText, literal, quoted, template, word

_TWO_CHOICES = "random two least_conn;"


def choosing(upstream: Upstream, nginx: NginxBinary) -> Lines:
    """The method first: `sticky` is put over it, and `keepalive` over both."""
    if upstream.sticks is None:
        return _method(upstream.balancing, nginx)
    if upstream.sticks.gives:
        return (_cookie(upstream.sticks),)
    known = pod_of_cookie(upstream.sticks.affinity.name, upstream.sticks.mark)
    return NginxText(f"hash {known.pod} consistent;"), NginxText(f"sticky route {known.pod};")


def spreads(upstreams: Iterable[Upstream]) -> Lines:
    """Blocks that say, for a number n, one of 0 to n-1 by chance; and what upstreams need to read cookies."""
    sizes = sorted({u.balancing.spread for u in upstreams if u.balancing.spread > 1})
    blocks = [_spread(size) for size in sizes]
    for upstream in upstreams:
        if upstream.sticks and not upstream.sticks.gives:
            blocks += pod_of_cookie(upstream.sticks.affinity.name, upstream.sticks.mark).blocks
        elif upstream.sticks:
            blocks += same_site_of(upstream.sticks.affinity).blocks
    return tuple(dict.fromkeys(blocks))


def _method(balancing: Balancing, nginx: NginxBinary) -> Lines:
    match balancing.method:
        case Method.ROUND_ROBIN:
            return ()
        case Method.EWMA:
            return (NginxText("least_time header;" if nginx.has("least-time") else _TWO_CHOICES),)
        case Method.LEAST_CONN:
            return (NginxText("least_conn;"),)
        case Method.RANDOM:
            return (NginxText("random;"),)
        case Method.HASH:
            # Without some text of its own an empty key would be no key to nginx, and its requests go to all pods.
            among = f"$hr_spread_{balancing.spread}:" if balancing.spread > 1 else "="
            return (NginxText(f"hash {template(among + balancing.key)} consistent;"),)


def _spread(size: int) -> NginxText:
    share = f"{10_000 // size / 100:.2f}%"
    choices = " ".join(f"{share} {number};" for number in range(size - 1))
    return NginxText(f'split_clients "spread:$request_id" $hr_spread_{size} {{ {choices} * {size - 1}; }}')


def _cookie(sticks: Sticks) -> NginxText:
    """The mark of a canary is between the name and the pod; nginx writes `=` before the pod by itself."""
    asked = sticks.affinity
    words = [quoted(f"{asked.name}={sticks.mark}" if sticks.mark else asked.name), quoted(f"path={sticks.path}")]
    words.append(NginxText("httponly"))
    if asked.lasts is not None:
        words.append(word(f"expires={asked.lasts}"))
    if asked.domain:
        words.append(literal(f"domain={asked.domain}"))
    if sticks.secure:
        words.append(NginxText("secure"))
    if asked.same_site:
        words.append(same_site_of(asked).text)
    return NginxText(f"sticky cookie {' '.join(words)};")
