"""The only way a string becomes nginx text.

nginx reads a file as words; a word in double quotes ends at the first `"` that no backslash precedes, and a backslash
before `"`, `'` or a backslash is dropped. Every function here returns `NginxText`, which templates accept; a plain
`str` in a template is an error. So what a user wrote can be a word, never a directive.

Source: `ngx_conf_read_token` and https://nginx.org/en/docs/dev/development_guide.html.
"""

from __future__ import annotations

import re
from zlib import crc32

MAX_WORD_BYTES = 4_000
"""nginx refuses a word that does not fit its buffer of 4,096 bytes."""

DOLLAR = "${hr_dollar}"
"""A variable whose value is one dollar sign: where variables are expanded, a dollar cannot be escaped."""

MATCH_STEPS = 200_000
"""Steps of the matcher that one try of a user's expression may take: about two milliseconds of a worker. PCRE itself
allows 10 million, so that a few requests a second could keep all workers busy. Where they do not suffice the request
gets a 500, as it did before."""

LENGTHS = 32
"""Of the names of upstreams that would else be of one length."""

_WORDS_OF_MAPS = frozenset({"default", "hostnames", "include", "volatile"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WORD = re.compile(r"[A-Za-z0-9_./:@=,~*\[\]-]+")


_HAS_CHOICE = re.compile(r"[*+?{|(]")


class NginxText(str):
    """Text that is safe in the slot it was made for."""

    __slots__ = ()


def word(text: str | int) -> NginxText:
    """A bare word: numbers, sizes, file names of ours. Raises `ValueError` for anything that would need quotes."""
    plain = str(text)
    if not _WORD.fullmatch(plain):
        raise ValueError(f"not a bare word: {plain[:60]!r}")
    return NginxText(plain)


def upstream_name(upstream: str) -> NginxText:
    """The bare word that is the name of an upstream in nginx: its id, made longer by up to 31 characters.

    For each upstream, and for each place that names one, nginx goes through the upstreams so far and looks at the
    characters of those whose names have the same length (`ngx_http_upstream_add`). Services of one kind often have
    that, with a number or a UUID. With 5,000 of them nginx reads a configuration in two thirds of the time this way.
    """
    return word(upstream + "_" * (crc32(upstream.encode()) % LENGTHS))


def quoted(text: str) -> NginxText:
    """A quoted word in a slot where nginx expands no variables: location names, regular expressions.

    Raises `ValueError` for control characters and for words that are too long for nginx.
    """
    if _CONTROL.search(text):
        raise ValueError("a control character cannot be written")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if len(escaped.encode()) > MAX_WORD_BYTES:
        raise ValueError("the text is too long for nginx")
    return NginxText(f'"{escaped}"')


def regex(pattern: str) -> NginxText:
    """A quoted expression that a user wrote, with `MATCH_STEPS` (pcre2pattern(3), "Setting match resource limits").

    Raises `ValueError` as `quoted` does.
    """
    return quoted(budgeted(pattern))


def budgeted(pattern: str) -> str:
    """The expression with its limit of steps, at its very beginning; without, where there is only one way to match."""
    return f"(*LIMIT_MATCH={MATCH_STEPS}){pattern}" if _HAS_CHOICE.search(pattern) else pattern


def literal(text: str) -> NginxText:
    """A quoted word in a slot where nginx would expand variables: every dollar is kept as a dollar."""
    return NginxText(quoted(text).replace("$", DOLLAR))


def template(text: str) -> NginxText:
    """A quoted word whose variables shall be expanded; the caller has checked each of them."""
    return quoted(text)


def key(text: str) -> NginxText:
    """A quoted key of a `map`. Some words mean something to nginx there even between quotes, unless a backslash leads.

    https://nginx.org/en/docs/http/ngx_http_map_module.html#map
    """
    return quoted(f"\\{text}" if text in _WORDS_OF_MAPS else text)


def hostname_regex(wildcard: str) -> NginxText:
    """`*.example.com` as a server name that takes exactly one label, which nginx's own wildcards do not."""
    return quoted(f"~^[a-z0-9_-]+{re.escape(wildcard[1:])}$")


def file_name(host: str, digest: str) -> str:
    """A file name for a host; long names keep their beginning and get a digest."""
    plain = host.replace("*", "_wildcard") if host else "_catch_all"
    return plain if len(plain) <= 180 else f"{plain[:160]}.{digest}"
