"""Grammars of annotation and ConfigMap values. Every parser raises `ValueError` with what it accepts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_SIZE = re.compile(r"([0-9]{1,15})([bBkKmMgG]?)")
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def boolean(text: str) -> bool:
    """Words of Go's `strconv.ParseBool`, which ingress-nginx used; no blanks, no yes or on."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("expected true or false")


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
