"""A strict reader of nginx configuration, written for tests from nginx's own rules and sharing no code with ours.

It is the oracle of the fuzz tests: what it reads as a directive, nginx would read as a directive. Where nginx would
refuse the file, or would take it in a way that nobody means, it raises `NotNginx`.

Source: `ngx_conf_read_token` of nginx (src/core/ngx_conf_file.c) and
https://nginx.org/en/docs/beginners_guide.html#conf_structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

LONGEST_WORD = 4_096
"""Bytes of nginx's buffer; a longer parameter makes it refuse the file."""

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)
    |   (?P<comment>\#[^\n]*)
    |   (?P<mark>[;{}])
    |   "(?P<double>(?:[^"\\]|\\.)*)"(?=[\s;{)])
    |   '(?P<single>(?:[^'\\]|\\.)*)'(?=[\s;{)])
    |   (?P<bare>(?:\\.|\$\{|[^ \t\r\n;{\\"'}\#])(?:\\.|\$\{|[^ \t\r\n;{\\])*)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"""\\(["'\\trn])""")
_MEANING = {"t": "\t", "r": "\r", "n": "\n"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class NotNginx(ValueError):
    """The text is not what nginx would read without complaint."""


class Word(NamedTuple):
    """A parameter as nginx sees it, and whether quotes stood around it."""

    text: str
    quoted: bool


@dataclass(slots=True)
class Directive:
    """`block` is None for what ends with a semicolon."""

    name: Word
    arguments: list[Word]
    block: list[Directive] | None = None
    parent: str = field(default="")


@lru_cache(maxsize=64)
def parse(text: str) -> tuple[Directive, ...]:
    """The directives of one file. Raises `NotNginx`."""
    top: list[Directive] = []
    stack: list[tuple[str, list[Directive]]] = [("", top)]
    words: list[Word] = []
    for token in _tokens(text):
        if isinstance(token, Word):
            words.append(token)
            continue
        if token == "}":
            if words or len(stack) == 1:
                raise NotNginx(f"unexpected }} after {words[:3]}")
            stack.pop()
            continue
        if not words:
            raise NotNginx(f"unexpected {token}")
        found = Directive(words[0], words[1:], [] if token == "{" else None, stack[-1][0])
        stack[-1][1].append(found)
        if found.block is not None:
            stack.append((found.name.text, found.block))
        words = []
    if words or len(stack) > 1:
        raise NotNginx("the file ends within a directive or a block")
    return tuple(top)


def walk(directives: tuple[Directive, ...] | list[Directive]) -> Iterator[Directive]:
    """Every directive, parents first."""
    for directive in directives:
        yield directive
        yield from walk(directive.block or [])


def _tokens(text: str) -> Iterator[Word | str]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise NotNginx(f"cannot be read: {text[position : position + 60]!r}")
        position = found.end()
        kind = found.lastgroup
        if kind == "mark":
            yield found["mark"]
        elif kind == "comment":
            if _CONTROL.search(found["comment"]):
                raise NotNginx("a control character in a comment")
        elif kind != "blank" and kind is not None:
            yield _word(found[kind], quoted=kind != "bare")


def _word(raw: str, *, quoted: bool) -> Word:
    if len(raw.encode()) >= LONGEST_WORD:
        raise NotNginx(f"too long a parameter: {raw[:60]!r}...")
    if _CONTROL.search(raw) or "\n" in raw:
        raise NotNginx(f"a control character in {raw[:60]!r}")
    if "\\" in raw:
        raw = _ESCAPE.sub(lambda m: _MEANING.get(m[1], m[1]), raw)
    return Word(raw, quoted)
