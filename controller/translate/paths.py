"""Paths of rules: which are legal for their pathType, and what they match.

A path that is not legal costs that path alone. What is legal here can be rendered by `render/quoting.py` whatever it
holds; the alphabet exists so that a path means what its reader thinks it means.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

MAX_PATH_BYTES = 3_000
"""nginx reads one parameter into a buffer of 4,096 bytes; escaping can add some."""

MAX_QUOTED_BYTES = 3_900
"""The same for the path as it is written: a dollar becomes `${hr_dollar}`, and what means something to an expression
gets a backslash, which is doubled."""

_STRICT = re.compile(r"/[A-Za-z0-9._/-]*")
_PUNCTUATION = frozenset("-._~/%:@!*+,=&()")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONFUSING = re.compile(r"//|/\.\.?(?:/|$)|%2[fF]")
_NAMED_GROUP = re.compile(r"\(\?(?:P?<(?![=!])|')")
_FATAL_REGEX_ERRORS = (
    "nothing to repeat",
    "multiple repeat",
    "missing )",
    "unbalanced parenthesis",
    "unterminated character set",
    "bad escape (end of pattern)",
    "min repeat greater than max repeat",
    "bad character range",
    "missing ), unterminated subpattern",
)


def literal_path(path: str, *, strict: bool) -> str:
    """The decoded text of an Exact or Prefix path.

    Raises `ValueError` with the reason where the path is not legal (decisions: letters and digits of any script and
    `- . _ ~ / % : @ ! * + , = & ( )`; `strict` narrows to ASCII letters, digits and `. _ - /`).
    """
    _check_common(path)
    if strict and not _STRICT.fullmatch(path):
        raise ValueError("strict-validate-path-type allows letters, digits and . _ - / only")
    bad = sorted({c for c in path if not (c.isalnum() or c in _PUNCTUATION)})
    if bad:
        raise ValueError(f"pathType Exact and Prefix do not allow {' '.join(map(repr, bad[:5]))}")
    if _CONFUSING.search(path):
        raise ValueError("it holds //, /./, /../ or %2F, which no request path has after normalisation")
    return _decode(path)


def implementation_path(path: str) -> str:
    """The text of an ImplementationSpecific path. Raises `ValueError` where it is not legal."""
    _check_common(path)
    return path


def check_regex(pattern: str) -> None:
    """Raises `ValueError` where no PCRE engine would take the pattern, or where it would set variables.

    nginx makes a variable of every named group, and it overrides one of ours by that name: the address of an upstream,
    the route in logs. Nothing here needs names, for `rewrite-target` knows groups by number only.
    Python's `re` is close to PCRE but not the same, so only faults that both share are decided here; nginx has the
    last word, and what it refuses is set apart with its host.
    """
    if _NAMED_GROUP.search(pattern):
        raise ValueError("a named group would set a variable of nginx; groups are named by number")
    try:
        re.compile(pattern)
    except re.error as error:
        if any(error.msg.startswith(fatal) for fatal in _FATAL_REGEX_ERRORS):
            raise ValueError(f"it is not a regular expression: {error.msg}") from error
    except (RecursionError, OverflowError) as error:
        raise ValueError("the regular expression is too large") from error


def groups_of(pattern: str) -> int:
    """How many capture groups the pattern has: unescaped `(` outside of classes that open a capturing group."""
    plain = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", pattern)
    return len(re.findall(r"\((?!\?)|\(\?P?<(?![=!])|\(\?'", plain))


def _check_common(path: str) -> None:
    if not path.startswith("/"):
        raise ValueError("it does not begin with a slash")
    if any(ord(c) < 0x20 or ord(c) == 0x7F or c in "\u2028\u2029\x85" for c in path):
        raise ValueError("it holds a control character or a line break")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in path):
        raise ValueError("it is not valid Unicode")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise ValueError(f"it is longer than {MAX_PATH_BYTES} bytes")
    _check_quoted_length(path)


def _check_quoted_length(path: str) -> None:
    special = sum(c.isascii() and not c.isalnum() and c != "/" for c in path)
    if len(path.encode()) + 2 * special + 9 * path.count("$") > MAX_QUOTED_BYTES:
        raise ValueError(f"it is longer than {MAX_QUOTED_BYTES} bytes once its special characters are escaped")


def _decode(path: str) -> str:
    if "%" not in path:
        return path
    if _BAD_ESCAPE.search(path):
        raise ValueError("a % is not followed by two hexadecimal digits")
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError("its percent-encoded bytes are not UTF-8") from error
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in decoded):
        raise ValueError("it encodes a control character")
    _check_quoted_length(decoded)
    return decoded
