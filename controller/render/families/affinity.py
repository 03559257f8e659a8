"""Clients that stay at their pods: the upstream for those whose cookie names a pod, and that which hands out cookies.

The pod that a cookie names is 32 hexadecimal digits, a digest of its address that every nginx computes alike; whatever
else a cookie holds counts as none.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from controller.model.features.balancing import Affinity, Stickiness
from controller.render.part import Context, Lines, Part, digest
from controller.render.quoting import NginxText, key, quoted, upstream_name, word

_POD = "[0-9a-f]{32}"
_SIMPLE_NAME = re.compile(r"[A-Za-z0-9_]+")
_MISHANDLES_NONE = (
    r"~Chrome/[456][0-9]\.|\((?:iPhone|iPad|iPod)[^)]* OS 12[_ ]"
    r"|\(Macintosh;[^)]*Mac OS X 10_14[^)]*\).* Version/[0-9.]+ .*Safari"
)
"""Browsers of 2019 and before, to which `SameSite=None` means Strict, or which drop the cookie
(https://www.chromium.org/updates/same-site/incompatible-clients/)."""


class Cookie(NamedTuple):
    """A variable with the value of a cookie of the request, and the blocks that it needs."""

    text: NginxText
    blocks: Lines = ()


class Pod(NamedTuple):
    """A variable with the pod that a cookie names, empty where it names none; and the blocks that it needs."""

    pod: NginxText
    blocks: Lines


def cookie_of(name: str) -> Cookie:
    """nginx has a variable for each cookie whose name could be a variable's; case is ignored with the others, too."""
    if _SIMPLE_NAME.fullmatch(name):
        return Cookie(NginxText(f"$cookie_{name}"))
    own = digest("cookie", name)
    found = key(rf"~*(?:^|;\s*){re.escape(name)}=(?<hr_cookie_is_{own}>[^;\s]*)")
    return Cookie(
        NginxText(f"$hr_cookie_{own}"),
        (NginxText(f'map $http_cookie $hr_cookie_{own} {{ default ""; {found} $hr_cookie_is_{own}; }}'),),
    )


def pod_of_cookie(name: str, mark: str) -> Pod:
    """`mark`: what the value begins with for a canary; a pod of somebody else is none of ours."""
    cookie, own = cookie_of(name), digest("pod", name, mark)
    found = key(f"~^{mark}{'=' if mark else ''}(?<hr_pod_is_{own}>{_POD})$")
    block = NginxText(f'map {cookie.text} $hr_pod_{own} {{ default ""; {found} $hr_pod_is_{own}; }}')
    return Pod(NginxText(f"$hr_pod_{own}"), (*cookie.blocks, block))


def same_site_of(affinity: Affinity) -> Cookie:
    """The parameter; `None` can be left out for browsers that mishandle it."""
    if not (affinity.only_capable and affinity.same_site == "None"):
        return Cookie(word(f"samesite={affinity.same_site}") if affinity.same_site else NginxText(""))
    block = NginxText(f'map $http_user_agent $hr_same_site {{ default None; {quoted(_MISHANDLES_NONE)} ""; }}')
    return Cookie(NginxText("samesite=$hr_same_site"), (block,))


def chosen_upstream(stickiness: Stickiness) -> Pod:
    """The variable that names the upstream of a sticky location."""
    pod = pod_of_cookie(stickiness.cookie, stickiness.mark)
    own = digest(stickiness)
    new, new_over_tls = upstream_name(stickiness.new), upstream_name(stickiness.new_over_tls)
    entries = f"default {new}; {quoted('~^https:$')} {new_over_tls};"
    if stickiness.known:
        entries += f" {quoted(f'~:{_POD}$')} {upstream_name(stickiness.known)};"
    else:
        entries += f" {quoted('~^https:')} {new_over_tls};"
    subject = quoted(f"$pass_access_scheme:{pod.pod}")
    block = NginxText(f"map {subject} $hr_sticky_{own} {{ {entries} }}")
    return Pod(NginxText(f"$hr_sticky_{own}"), (*pod.blocks, block))


def render(feature: Stickiness, context: Context) -> Part:
    chosen = chosen_upstream(feature)
    return Part(http=chosen.blocks, target=chosen.pod)
