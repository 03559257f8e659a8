"""Canaries: maps that choose between two upstreams, each rule falling to the next: cookie of the pod, header, cookie,
share of the requests."""

from __future__ import annotations

from controller.model.configuration import ProxyPass
from controller.model.features.balancing import Canary, CanaryRules
from controller.render.families.affinity import chosen_upstream, cookie_of, pod_of_cookie
from controller.render.part import Context, Lines, Part, digest
from controller.render.quoting import NginxText, budgeted, literal, quoted, upstream_name
from controller.render.request_headers import header_variable

_YES, _NO = NginxText("1"), NginxText("0")


def render(feature: Canary, context: Context) -> Part:
    decided, blocks = _decision(feature)
    assert context.location is not None
    action = context.location.action
    assert isinstance(action, ProxyPass)
    usual = context.so_far.target or upstream_name(action.upstream)
    canary = upstream_name(feature.upstream)
    if feature.stickiness is not None:
        chosen = chosen_upstream(feature.stickiness)
        canary, blocks = chosen.pod, (*blocks, *chosen.blocks)
    route = "/".join(
        (feature.namespace, feature.ingress, feature.service, feature.port, feature.dns_port, feature.otherwise)
    )
    name = f"{feature.namespace}-{feature.service}-{feature.port}"
    picked = _either("pick", decided, usual, canary)
    routed = _either("route", decided, literal(context.route), literal(route))
    named = _either("alternative", decided, NginxText('""'), literal(name))
    return Part(
        http=(*blocks, picked.block, routed.block, named.block),
        target=picked.variable,
        route=routed.variable,
        alternative=named.variable,
    )


class _Map:
    """A map from one variable, and the variable that it sets."""

    def __init__(self, kind: str, subject: NginxText, entries: str) -> None:
        self.variable = NginxText(f"$hr_{kind}_{digest(kind, subject, entries)}")
        self.block = NginxText(f"map {subject} {self.variable} {{ {entries} }}")


def _either(kind: str, decided: NginxText, usual: NginxText, canary: NginxText) -> _Map:
    return _Map(kind, decided, f"default {usual}; 1 {canary};")


def _decision(feature: Canary) -> tuple[NginxText, Lines]:
    """1 for the canary. The last rule comes first, since each names the next."""
    rules = feature.rules
    decided, blocks = _share(rules)
    if rules.cookie:
        cookie = cookie_of(rules.cookie)
        step = _Map("canary", cookie.text, _always_or_never(decided))
        decided, blocks = step.variable, (*blocks, *cookie.blocks, step.block)
    if rules.header:
        step = _Map("canary", header_variable(rules.header), _by_header(rules, decided))
        decided, blocks = step.variable, (*blocks, step.block)
    if feature.binding:
        ours, theirs = pod_of_cookie(feature.binding, feature.mark), pod_of_cookie(feature.binding, "")
        entries = f"default {decided}; {quoted('~[^:]:$')} {_YES}; {quoted('~^:[^:]')} {_NO};"
        step = _Map("canary", quoted(f"{ours.pod}:{theirs.pod}"), entries)
        decided, blocks = step.variable, (*blocks, *ours.blocks, *theirs.blocks, step.block)
    return decided, blocks


def _always_or_never(otherwise: NginxText) -> str:
    """Keys of a map ignore case, expressions do not."""
    return f"default {otherwise}; {quoted('~^always$')} {_YES}; {quoted('~^never$')} {_NO};"


def _by_header(rules: CanaryRules, otherwise: NginxText) -> str:
    if rules.header_value:
        exact = "".join(char if char.isalnum() else f"\\{char}" for char in rules.header_value)
        return f"default {otherwise}; {quoted(f'~^{exact}$')} {_YES};"
    if rules.header_pattern:
        return f"default {otherwise}; {quoted('~' + budgeted(rules.header_pattern))} {_YES};"
    return _always_or_never(otherwise)


def _share(rules: CanaryRules) -> tuple[NginxText, Lines]:
    """nginx takes shares of two decimals; what is less than one hundredth of a percent counts as that."""
    if rules.weight >= rules.total:
        return _YES, ()
    if rules.weight == 0:
        return _NO, ()
    share = min(max(round(10_000 * rules.weight / rules.total), 1), 9_999)
    variable = NginxText(f"$hr_share_{share}")
    block = f'split_clients "canary:$request_id" {variable} {{ {share / 100:.2f}% {_YES}; * {_NO}; }}'
    return variable, (NginxText(block),)
