"""Paths of rules: which are legal for their pathType, and what they match.

A path that is not legal costs that path alone. What is legal here can be rendered by `render/quoting.py` whatever it
holds; the alphabet exists so that a path means what its reader thinks it means.

The patterns are in the syntax that Python and RE2 share, for the admission policy is written from them. Only `\\w` is
read otherwise: here it stands for letters and digits of any script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

MAX_PATH_BYTES = 3_000
"""nginx reads one parameter into a buffer of 4,096 bytes; escaping can add some."""

MAX_QUOTED_BYTES = 3_900
"""The same for the path as it is written: a dollar becomes `${hr_dollar}`, and what means something to an expression
gets a backslash, which is doubled."""

TOO_LONG = f"it is longer than {MAX_PATH_BYTES} bytes"
TOO_LONG_QUOTED = f"it is longer than {MAX_QUOTED_BYTES} bytes once its special characters are escaped"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is legal for a path: `pattern` fits all of it, or with `banned` no part of it.

    `reason` says what is wrong; {} in it is what was found.
    """

    pattern: re.Pattern[str]
    reason: str
    banned: bool = True

    def check(self, path: str) -> None:
        """Raises `ValueError` with the reason where the path breaks the rule."""
        if self.banned:
            found = sorted(set(self.pattern.findall(path)))
            if found:
                raise ValueError(self.reason.format(" ".join(map(repr, found[:5]))))
        elif not self.pattern.fullmatch(path):
            raise ValueError(self.reason)


_HEX, _TAIL = "[0-9A-Fa-f]", "%[89ABab][0-9A-Fa-f]"
_UTF8 = (
    rf"%[2-6]{_HEX}|%7[0-9A-Ea-e]|%(?:[Cc][2-9A-Fa-f]|[Dd]{_HEX}){_TAIL}"
    rf"|%(?:[Ee]0%[ABab]{_HEX}|[Ee][1-9A-Ca-cEFef]{_TAIL}|[Ee][Dd]%[89]{_HEX}){_TAIL}"
    rf"|%(?:[Ff]0%[9ABab]{_HEX}|[Ff][1-3]{_TAIL}|[Ff]4%8{_HEX}){_TAIL}{_TAIL}"
)
"""A percent-encoded character (RFC 3629, 4) that is no control character of ASCII."""

ALWAYS = Rule(re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]"), "it holds a control character or a line break")
STRICT = Rule(
    re.compile(r"/[A-Za-z0-9._/-]*"),
    "strict-validate-path-type allows letters, digits and . _ - / only",
    banned=False,
)
CHARACTERS = Rule(re.compile(r"[^\w.~/%:@!*+,=&()-]"), "pathType Exact and Prefix do not allow {}")
NORMAL = Rule(
    re.compile(r"//|/\.\.?(?:/|$)|%2[fF]"),
    "it holds //, /./, /../ or %2F, which no request path has after normalisation",
)
ENCODED = Rule(
    re.compile(f"(?:[^%]|{_UTF8})*"), "its % escapes are not those of printable characters in UTF-8", banned=False
)
EXPRESSION = Rule(
    re.compile(r'"|(?:^|[^\\])\{(?:[^0-9]|$)|(?:^|[^0-9,\\])\}'),
    "it holds double quotes, or braces that repeat nothing",
)
REGEX = Rule(
    re.compile(r"\(\?(?:P?<(?:[^=!]|$)|')"),
    "a named group would set a variable of nginx; groups are named by number",
)

SPECIAL = re.compile(r"[ -.:-@[-`{-~]")
"""ASCII that is neither letter nor digit nor slash, and so may grow when it is quoted."""

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
    if strict:
        STRICT.check(path)
    for rule in (CHARACTERS, NORMAL, ENCODED):
        rule.check(path)
    decoded = unquote(path)
    _check_quoted_length(decoded)
    return decoded


def implementation_path(path: str) -> str:
    """The text of an ImplementationSpecific path. Raises `ValueError` where it is not legal.

    What holds quotes and braces is no path but an attempt at nginx configuration.
    """
    _check_common(path)
    EXPRESSION.check(path)
    return path


def check_regex(pattern: str) -> None:
    """Raises `ValueError` where no PCRE engine would take the pattern, or where it would set variables.

    nginx makes a variable of every named group, and it overrides one of ours by that name: the address of an upstream,
    the route in logs. Nothing here needs names, for `rewrite-target` knows groups by number only.
    Python's `re` is close to PCRE but not the same, so only faults that both share are decided here; nginx has the
    last word, and what it refuses is set apart with its host.
    """
    REGEX.check(pattern)
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
    ALWAYS.check(path)
    if any(0xD800 <= ord(c) <= 0xDFFF for c in path):
        raise ValueError("it is not valid Unicode")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise ValueError(TOO_LONG)
    _check_quoted_length(path)


def _check_quoted_length(path: str) -> None:
    if len(path.encode()) + 2 * len(SPECIAL.findall(path)) + 9 * path.count("$") > MAX_QUOTED_BYTES:
        raise ValueError(TOO_LONG_QUOTED)
