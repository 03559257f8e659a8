"""Annotations that say who may use a location, and how much. What cannot be read closes it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.features import LocationFeature
from controller.model.features.access import AccessLists, Bandwidth, Limits
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families import proxying
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}(?:/(?:3[0-2]|[12]?[0-9]))?"
_IPV6 = r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
_ITEM = rf" *(?:(?:{_IPV4}|{_IPV6}) *)?"
networks = Grammar(
    re.compile(rf"{_ITEM}(?:,{_ITEM})*"),
    "addresses or networks such as 10.0.0.0/8, with commas between",
    lambda text: _some(values.cidrs(text)),
)


def _some(found: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted. A list without a network in it is a mistake: it would let everyone in, or nobody."""
    if not found:
        raise ValueError("expected at least one address or network")
    return tuple(sorted(found))


amount = Grammar(re.compile(r"[+-]?[0-9]{1,6}"), "a whole number", lambda text: max(0, int(text)))
"""Below zero is no limit, as it always was."""

ALLOW = Annotation("allowlist-source-range", networks)
ALLOW_OLD = Annotation("whitelist-source-range", networks)
DENY = Annotation("denylist-source-range", networks)
RPS = Annotation("limit-rps", amount)
RPM = Annotation("limit-rpm", amount)
CONNECTIONS = Annotation("limit-connections", amount)
MULTIPLIER = Annotation("limit-burst-multiplier", amount)
EXEMPT = Annotation("limit-allowlist", networks)
EXEMPT_OLD = Annotation("limit-whitelist", networks)
RATE = Annotation("limit-rate", amount)
RATE_AFTER = Annotation("limit-rate-after", amount)

ANNOTATIONS = (
    ALLOW, ALLOW_OLD, DENY, RPS, RPM, CONNECTIONS, MULTIPLIER, EXEMPT, EXEMPT_OLD, RATE, RATE_AFTER,
)  # fmt: skip

BUFFERING = Annotation("proxy-buffering", proxying.on_off)

MOST_CONNECTIONS = 65_535
"""nginx refuses more (ngx_http_limit_conn_module)."""


def read(reader: Reader) -> Iterable[LocationFeature]:
    allowed = reader.secure(ALLOW, ()) or reader.secure(ALLOW_OLD, ()) or reader.main.whitelist_source_range
    denied = reader.secure(DENY, ()) or reader.main.denylist_source_range
    if allowed or denied:
        yield AccessLists(allowed, denied)
    yield from _limits(reader)
    rate, after = reader.value(RATE, None), reader.value(RATE_AFTER, None)
    if rate is not None or after is not None:
        yield Bandwidth(rate, after)
    if rate and reader.text(BUFFERING) != "on" and not reader.main.proxy_buffering:
        reader.warn(RATE, "An answer that is not buffered is not slowed down.", "Set proxy-buffering to on as well.")


def _limits(reader: Reader) -> Iterable[Limits]:
    second, minute, connections = (reader.secure(a, 0) for a in (RPS, RPM, CONNECTIONS))
    exempt = reader.secure(EXEMPT, ()) or reader.secure(EXEMPT_OLD, ())
    multiplier = reader.value(MULTIPLIER, 5)
    if second or minute or connections:
        yield Limits(
            owner=reader.key.path,
            per_second=second,
            per_minute=minute,
            connections=min(connections, MOST_CONNECTIONS),
            burst_of_second=second * multiplier,
            burst_of_minute=minute * multiplier,
            exempt=exempt,
            replicas=reader.options.replicas if reader.main.limit_divide_by_replicas else 1,
        )
