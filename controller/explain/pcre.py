"""PCRE expressions, as nginx compiles them, for Python's `re`.

nginx compiles without UTF mode, so an expression sees bytes; and location expressions ignore the case of ASCII letters.
Most of the two dialects is the same. What differs is converted where that is exact; the rest raises `Undecidable`,
because a wrong answer is worse than none.

Sources: https://www.pcre.org/current/doc/html/pcre2pattern.html, https://docs.python.org/3/library/re.html
"""

from __future__ import annotations

import re
from functools import lru_cache

_POSIX = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": "\\t-\\r ",
    "blank": "\\t ",
    "punct": "!-/:-@\\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "word": "a-zA-Z0-9_",
    "cntrl": "\\x00-\\x1f\\x7f",
    "print": "\\x20-\\x7e",
    "graph": "\\x21-\\x7e",
    "ascii": "\\x00-\\x7f",
}
_SETS = {"h": "\\t \\xa0", "v": "\\n-\\r\\x85", "e": "\\x1b"}
_SAME_ESCAPES = frozenset("dDwWsSbBAtnrfa0123456789")
_ESCAPE = re.compile(r"\\(x\{[0-9A-Fa-f]{1,2}\}|x[0-9A-Fa-f]{2}|k[<'{]\w+[>'}]|.)", re.DOTALL)
_GROUP = re.compile(r"\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
_SAME_GROUP = re.compile(r"\(\?(?::|=|!|<=|<!|>|#[^)]*\)|P=\w+\)|\(\w+\)|[ims]+(?:-[ims]+)?:|-[ims]+:)")
_POSIX_CLASS = re.compile(r"\[:(\^?)(\w+):\]")


class Undecidable(ValueError):
    """The expression has something that Python's `re` cannot do, or does differently; the message says what."""


@lru_cache(maxsize=4096)
def compile_pcre(pattern: str) -> re.Pattern[bytes]:
    """For bytes, ignoring case. Raises `Undecidable`."""
    translated = translate(pattern)
    try:
        return re.compile(translated.encode("utf-8", "surrogateescape"), re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise Undecidable(f"Python cannot compile it: {error}") from error


def translate(pattern: str) -> str:
    """The same expression in Python's dialect. Raises `Undecidable`."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        text, at = _next(pattern, at)
        out.append(text)
    return "".join(out)


def _next(pattern: str, at: int) -> tuple[str, int]:
    match pattern[at]:
        case "\\":
            return _escape(pattern, at)
        case "[":
            return _class(pattern, at)
        case "(":
            return _group(pattern, at)
        case "{" if re.match(r"\{\s*,|\{\s+\d|\{\d+\s|\{\d+,\s|\{\d+,\d+\s", pattern[at:]):
            raise Undecidable("the meaning of such a repetition depends on the version of PCRE")
        case character:
            return character, at + 1


def _escape(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\Q", at):
        end = pattern.find("\\E", at)
        quoted = pattern[at + 2 : end if end >= 0 else len(pattern)]
        return re.escape(quoted), end + 2 if end >= 0 else len(pattern)
    found = _ESCAPE.match(pattern, at)
    if found is None:
        raise Undecidable("it ends in a backslash")
    return _escaped(found.group(1)), found.end()


def _escaped(escape: str) -> str:
    first = escape[0]
    if first == "x" and len(escape) > 1:
        return f"\\x{escape[1:].strip('{}').rjust(2, '0')}"
    if first == "k" and len(escape) > 1:
        return f"(?P={escape[2:-1]})"
    if first in _SAME_ESCAPES or not (first.isascii() and first.isalnum()):
        return f"\\{escape}" if first.isascii() else escape
    replaced = {"h": f"[{_SETS['h']}]", "H": f"[^{_SETS['h']}]", "v": f"[{_SETS['v']}]", "V": f"[^{_SETS['v']}]"}
    replaced |= {
        "e": _SETS["e"],
        "z": "\\Z",
        "Z": "(?=\\n?\\Z)",
        "R": "(?>\\r\\n|[\\n-\\r\\x85])",
        "N": "[^\\n]",
        "E": "",
    }
    if first not in replaced:
        raise Undecidable(f"\\{first} has no counterpart here")
    return replaced[first]


def _group(pattern: str, at: int) -> tuple[str, int]:
    if not pattern.startswith(("(?", "(*"), at):
        return "(", at + 1
    named = _GROUP.match(pattern, at)
    if named:
        return f"(?P<{named.group(1) or named.group(2)}>", named.end()
    if pattern.startswith("(?i)", at):
        return "", at + 4  # case is ignored anyway
    same = _SAME_GROUP.match(pattern, at)
    if same is None:
        raise Undecidable(f"{pattern[at : at + 4]!r} has no counterpart here")
    return same.group(), same.end()


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A bracket expression; `]` as its first member is a member in both dialects."""
    out = ["["]
    at += 1
    if pattern.startswith("^", at):
        out.append("^")
        at += 1
    first = True
    while at < len(pattern):
        if pattern[at] == "]" and not first:
            return "".join([*out, "]"]), at + 1
        text, at = _member(pattern, at)
        out.append(text)
        first = False
    raise Undecidable("a bracket expression does not end")


def _member(pattern: str, at: int) -> tuple[str, int]:
    posix = _POSIX_CLASS.match(pattern, at)
    if posix:
        if posix.group(1) or posix.group(2) not in _POSIX:
            raise Undecidable(f"{posix.group()} has no counterpart here")
        return _POSIX[posix.group(2)], posix.end()
    if pattern[at] != "\\":
        # Python warns of what may become set operations: these are plain members here.
        return ("\\" + pattern[at] if pattern[at] in "[]&~|" else pattern[at]), at + 1
    found = _ESCAPE.match(pattern, at)
    if found is None:
        raise Undecidable("it ends in a backslash")
    escape = found.group(1)
    if escape in _SETS:
        return _SETS[escape], found.end()
    if escape[0] in "bxdDwWsStnrfa01234567" or not (escape[0].isascii() and escape[0].isalnum()):
        return _escaped(escape), found.end()
    raise Undecidable(f"\\{escape[0]} in brackets has no counterpart here")
