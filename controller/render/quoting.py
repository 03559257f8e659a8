"""The only way a string becomes nginx text.

nginx reads a file as words; a word in double quotes ends at the first `"` that no backslash precedes, and a backslash
before `"`, `'` or a backslash is dropped. Every function here returns `NginxText`, which templates accept; a plain
`str` in a template is an error. So what a user wrote can be a word, never a directive.

Source: `ngx_conf_read_token` and https://nginx.org/en/docs/dev/development_guide.html.
"""

from __future__ import annotations

import re

MAX_WORD_BYTES = 4_000
"""nginx refuses a word that does not fit its buffer of 4,096 bytes."""

DOLLAR = "${hr_dollar}"
"""A variable whose value is one dollar sign: where variables are expanded, a dollar cannot be escaped."""

_WORDS_OF_MAPS = frozenset({"default", "hostnames", "include", "volatile"})

_WORD = re.compile(r"[A-Za-z0-9_./:@=,~*\[\]-]+")


class NginxText(str):
    """Text that is safe in the slot it was made for."""

    __slots__ = ()


def word(text: str | int) -> NginxText:
    """A bare word: numbers, sizes, file names of ours. Raises `ValueError` for anything that would need quotes."""
    plain = str(text)
    if not _WORD.fullmatch(plain):
        raise ValueError(f"not a bare word: {plain[:60]!r}")
    return NginxText(plain)


def quoted(text: str) -> NginxText:
    """A quoted word in a slot where nginx expands no variables: location names, regular expressions.

    Raises `ValueError` for control characters and for words that are too long for nginx.
    """
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        raise ValueError("a control character cannot be written")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if len(escaped.encode()) > MAX_WORD_BYTES:
        raise ValueError("the text is too long for nginx")
    return NginxText(f'"{escaped}"')


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
