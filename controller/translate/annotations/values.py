"""Grammars of annotation and ConfigMap values. Every parser raises `ValueError` with what it accepts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_SIZE = re.compile(r"([0-9]{1,15})([bBkKmMgG]?)")
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = 2_000
"""Characters of a value: nginx reads one parameter into a buffer of 4,096 bytes."""

BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What is trimmed off values: Unicode's White_Space, as in Go's `strings.TrimSpace` and the `trim` of CEL."""

_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Grammar(Generic[T]):
    """A parser that says which texts it takes, so that the admission policy refuses what it refuses.

    `pattern`: of the whole text, in the syntax that Python and RE2 (https://github.com/google/re2/wiki/Syntax) share
    and read alike. `expected`: what a refused text should have been. `read`: what a text of the pattern means.
    """

    pattern: re.Pattern[str]
    expected: str
    read: Callable[[str], T]

    def __call__(self, text: str) -> T:
        if len(text) > LONGEST:
            raise ValueError(f"expected no more than {LONGEST} characters")
        if not self.pattern.fullmatch(text):
            raise ValueError(f"expected {self.expected}")
        return self.read(text)


TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
boolean = Grammar(re.compile("|".join(TRUE + _FALSE)), "true or false", TRUE.__contains__)
"""Words of Go's `strconv.ParseBool`, which ingress-nginx used; no blanks, no yes or on."""

rewrite_target = Grammar(
    re.compile(r"[A-Za-z0-9._~/:-]*(?:\$[1-9](?:[A-Za-z._~/:-][A-Za-z0-9._~/:-]*)?)*"),
    "a path of letters, digits, - . _ ~ / : and $1 to $9",
    str,
)
"""A group is one digit, and no digit may follow it: $10 would mean another group elsewhere."""


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return parse


def size(low: int, high: int) -> Callable[[str], str]:
    """A size as nginx reads it: digits and k, m or g (https://nginx.org/en/docs/syntax.html), within bounds in bytes.

    Beyond the bounds nginx refuses its whole configuration. Written without g, which it takes in few places.
    """

    def parse(text: str) -> str:
        found = _SIZE.fullmatch(text)
        number, unit = (int(found[1]), found[2].lower().removesuffix("b")) if found else (0, "")
        if not found or not low <= number * _BYTES[unit] <= high:
            raise ValueError(f"expected a size such as 8k or 10m, from {_short(low)} to {_short(high)}")
        return f"{number * 1024}m" if unit == "g" else f"{number}{unit}"

    return parse


def _short(number: int) -> str:
    """1048576 as 1m."""
    for unit in ("g", "m", "k"):
        if number and number % _BYTES[unit] == 0:
            return f"{number // _BYTES[unit]}{unit}"
    return str(number)


def seconds(text: str) -> int:
    """A time such as `60`, `60s` or `2m`, in whole seconds (rounded up)."""
    found = _DURATION.fullmatch(text)
    if not found or float(found[1]) * _SECONDS[found[2] or "s"] > 86_400 * 365:
        raise ValueError("expected a time such as 60, 60s or 2m")
    return -int(-float(found[1]) * _SECONDS[found[2] or "s"] // 1)


def duration(text: str) -> str:
    """A time of whole seconds that is handed to nginx as written."""
    if text.endswith("ms"):
        raise ValueError("expected a time such as 10m or 60s")
    seconds(text)
    return text


def one_of(*words: str) -> Callable[[str], str]:
    """One word of a closed list."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of: {', '.join(words)}")
        return text

    return parse


def on_off(text: str) -> bool:
    return one_of("on", "off")(text) == "on"


def header(text: str) -> str:
    """A header name of letters, digits, hyphens and underscores."""
    if not _HEADER.fullmatch(text):
        raise ValueError("expected a header name")
    return text


def words(allowed: Iterable[str], separator: str | None = None) -> Callable[[str], tuple[str, ...]]:
    """A list of words of a closed list."""
    known = frozenset(allowed)

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(w.strip() for w in text.split(separator) if w.strip())
        bad = [w for w in found if w not in known]
        if bad or not found:
            raise ValueError(f"expected words of: {', '.join(sorted(known))}")
        return found

    return parse


def cidrs(text: str) -> tuple[str, ...]:
    """Networks or addresses, comma separated, each once and in its canonical form."""
    return tuple(dict.fromkeys(_cidr(item.strip()) for item in text.split(",") if item.strip()))


def _cidr(item: str) -> str:
    try:
        return str(ipaddress.ip_network(item, strict=False))
    except ValueError as error:
        raise ValueError(f"{item!r} is not an address or a network such as 10.0.0.0/8") from error
