"""Less text for `nginx -t` where only a few servers have changed: what runs already need not be read again.

The entry file then includes the changed servers and the catch-all, whose certificates all use, and of the upstreams
those that they name. Its maps, which nginx runs and which cost it a millisecond each, become variables without a value:
a test looks at names only. So the test of one host takes as long with 10,000 others as with none. Pure text; what does
not look as expected stays as it is.

A text that passes here and not as a whole makes the reload fail, which changes nothing; the next test is one of all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

ENTRY, UPSTREAMS = "nginx.conf", "upstreams.conf"
SOME_ENTRY, SOME_UPSTREAMS = "some-servers.conf", "some-upstreams.conf"

_ALL_SERVERS = "include servers/*.conf;"
_ALL_UPSTREAMS = f"include {UPSTREAMS};"
_MAP = re.compile(r"^ {4}map (?:\"[^\"\n]*\"|\S+) \$(\w+) \{(?:.*\}|\n(?: {8}.*\n)* {4}\})$", re.MULTILINE)
_CAPTURE = re.compile(r"\(\?<(\w+)>")
_CATCH_ALL = "servers/_catch_all.conf"
_PROBE = "        location = /generation "
_UPSTREAM = re.compile(r"upstream (\S+) \{$", re.MULTILINE)
_WORD = re.compile(r"[^\s\"';{}/$]+")


def narrowed(texts: Mapping[str, str], servers: Sequence[str]) -> dict[str, str]:
    """Files to put beside those of `texts` (by path) for a test with the files `servers` alone, the entry first.

    Raises `ValueError` where the entry file does not include servers as ours does.
    """
    entry = texts[ENTRY]
    if _ALL_SERVERS not in entry:
        raise ValueError(f"{ENTRY} has no line {_ALL_SERVERS!r}")
    servers = [*(path for path in (_CATCH_ALL,) if path in texts and path not in servers), *servers]
    files = {SOME_ENTRY: ""}
    if _ALL_UPSTREAMS in entry and UPSTREAMS in texts:
        entry = entry.replace(_ALL_UPSTREAMS, f"include {SOME_UPSTREAMS};")
        files[SOME_UPSTREAMS] = _named_upstreams(texts, servers)
    entry = _without_maps(entry)
    files[SOME_ENTRY] = entry.replace(_ALL_SERVERS, "".join(f'include "{path}";\n' for path in servers))
    return files


def _named_upstreams(texts: Mapping[str, str], servers: Sequence[str]) -> str:
    """Those that the servers may name, be it in part, or that a file for all names."""
    namers = [text for path, text in texts.items() if path in servers or ("/" not in path and path != UPSTREAMS)]
    changed = "\n".join(texts[path] for path in servers)
    common = {word for text in namers for word in _WORD.findall(text)}
    blocks = re.split(r"(?<=^\}\n)", texts[UPSTREAMS], flags=re.MULTILINE)
    return "".join(block for block in blocks if _is_named(block, changed, common))


def _is_named(block: str, changed: str, common: set[str]) -> bool:
    found = _UPSTREAM.search(block)
    name = found.group(1).strip('"') if found else ""
    return not found or name in changed or name in common


def _without_maps(entry: str) -> str:
    """Variables in their place, set by the server that is always there."""
    names = {name for found in _MAP.finditer(entry) for name in (found.group(1), *_CAPTURE.findall(found.group()))}
    if _PROBE not in entry:
        return entry
    settings = "".join(f'        set ${name} "";\n' for name in sorted(names))
    return _MAP.sub("", entry).replace(_PROBE, settings + _PROBE, 1)


def is_part_of(text: str, whole: str) -> bool:
    """Whether every line of a text is one of the other, so that nginx has read all of it before."""
    return set(text.splitlines()) <= set(whole.splitlines())
