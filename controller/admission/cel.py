"""Python values as CEL: the only way a text or a pattern comes into an expression of the admission policy.

What is used of CEL is what Kubernetes 1.30 has, the first release in which such policies are generally available
(https://kubernetes.io/docs/reference/using-api/cel/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PLAIN = frozenset(map(chr, range(0x20, 0x7F))) - frozenset("'\\")


def text(value: str) -> str:
    """A string literal, in printable ASCII."""
    return "'" + "".join(c if c in _PLAIN else _escaped(c) for c in value) + "'"


def texts(values: Iterable[str]) -> str:
    """A list of string literals."""
    return "[" + ", ".join(map(text, values)) + "]"


def all_of(subject: str, pattern: re.Pattern[str]) -> str:
    """Whether the pattern fits the whole subject, as `re.fullmatch` says."""
    return f"{subject}.matches({text(f'^(?:{re2_source(pattern)})$')})"


def any_of(subject: str, pattern: re.Pattern[str]) -> str:
    """Whether the pattern fits somewhere in the subject, as `re.search` says."""
    return f"{subject}.matches({text(re2_source(pattern))})"


def first_of(subject: str, pattern: re.Pattern[str]) -> str:
    """What it fits there first."""
    return f"{subject}.find({text(re2_source(pattern))})"


def count_of(subject: str, pattern: re.Pattern[str]) -> str:
    """How often it fits, without overlap."""
    return f"{subject}.findAll({text(re2_source(pattern))}).size()"


def shown(subject: str, longest: int = 80) -> str:
    """The subject in quotes and on one line, cut where it is long."""
    cut = f"{subject}.substring(0, {longest - 3}) + '...'"
    return f"strings.quote({subject}.size() > {longest} ? {cut} : {subject})"


def _escaped(char: str) -> str:
    if char in "'\\":
        return f"\\{char}"
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def re2_source(pattern: re.Pattern[str]) -> str:
    r"""The same pattern for RE2, whose `\w` knows ASCII only. Raises `ValueError` for what RE2 reads otherwise.

    Patterns of flags, and `\w` outside of a class of characters, are not needed and not translated.
    """
    source = pattern.pattern
    if pattern.flags != re.compile("").flags or re.search(
        r"\\[bBdDsSWZ1-9]|\(\?(?!i?:)", re.sub(r"\\\\|\\\(", "", source)
    ):
        raise ValueError(f"not in the syntax that Python and RE2 share: {source!r}")
    return source.replace(r"\w", r"\p{L}\p{N}_")
