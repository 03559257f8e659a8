"""The text of a snippet as nginx directives: names, arguments, blocks, lines.

Follows nginx's own lexer (`ngx_conf_read_token`): words end at blanks, `;` and `{`; quotes and backslashes protect;
`${name}` is part of a word; `#` begins a comment where a word could begin. Text that nginx would refuse is read as far
as it goes, and says where it broke: a report is no place to give up. Blocks of Lua are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

DEEPEST = 20
_BLANKS = " \t\r\n"
_LUA = re.compile(r"\w+_by_lua_block")


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive. `line` counts from 1; `block` is None where it ends with `;`."""

    name: str
    args: tuple[str, ...]
    line: int
    block: tuple[Directive, ...] | None = None

    def __str__(self) -> str:
        """As one line; a block is left out."""
        text = " ".join((self.name, *map(_quoted, self.args)))
        return text if self.block is None else f"{text} {{ ... }}"


class Snippet(NamedTuple):
    """`broken` says where nginx would refuse the text, or is empty."""

    directives: tuple[Directive, ...]
    broken: str = ""


class _Token(NamedTuple):
    """`kind` is `word`, `;`, `{` or `}`."""

    kind: str
    text: str
    line: int


class _Broken(Exception):
    """The text ends inside of something, or braces do not match."""


def parse(text: str) -> Snippet:
    """Directives in their order; never raises."""
    reader = _Reader(text)
    found: list[Directive] = []
    try:
        reader.read_into(found, 0)
    except _Broken as error:
        return Snippet(tuple(found), str(error))
    return Snippet(tuple(found))


def walk(directives: tuple[Directive, ...]) -> Iterator[Directive]:
    """Every directive, those in blocks after the one that opens the block."""
    for directive in directives:
        yield directive
        yield from walk(directive.block or ())


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at, self._line = text, 0, 1

    def read_into(self, found: list[Directive], depth: int) -> None:
        """Directives up to the end of the text or of the block. Raises `_Broken`, with `found` as far as it came."""
        words: list[_Token] = []
        while (token := self._token()) is not None:
            if token.kind == "word":
                words.append(token)
            elif token.kind == "}":
                if words or not depth:
                    raise _Broken(f'line {token.line}: unexpected "}}"')
                return
            elif not words:
                raise _Broken(f'line {token.line}: unexpected "{token.kind}"')
            else:
                self._end(found, words, token.kind, depth)
                words = []
        if words:
            raise _Broken(f'line {words[0].line}: "{words[0].text}" does not end with ";"')
        if depth:
            raise _Broken('a block is not closed with "}"')

    def _end(self, found: list[Directive], words: list[_Token], kind: str, depth: int) -> None:
        name, *args = (word.text for word in words)
        if kind == ";":
            found.append(Directive(name, tuple(args), words[0].line))
            return
        if _LUA.fullmatch(name):
            self._skip_lua()
            found.append(Directive(name, tuple(args), words[0].line, ()))
            return
        if depth >= DEEPEST:
            raise _Broken(f"line {words[0].line}: blocks are nested too deeply")
        inner: list[Directive] = []
        try:
            self.read_into(inner, depth + 1)
        finally:
            found.append(Directive(name, tuple(args), words[0].line, tuple(inner)))

    def _token(self) -> _Token | None:
        self._skip_blanks()
        if self._at >= len(self._text):
            return None
        char, line = self._text[self._at], self._line
        if char in ";{}":
            self._at += 1
            return _Token(char, char, line)
        if char in "\"'":
            return _Token("word", self._quoted(char), line)
        return _Token("word", self._bare(), line)

    def _skip_blanks(self) -> None:
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif char in _BLANKS:
                self._next()
            else:
                return

    def _quoted(self, quote: str) -> str:
        begun = self._line
        out: list[str] = []
        self._next()
        while self._at < len(self._text):
            char = self._next()
            if char == quote:
                return "".join(out)
            if char == "\\" and self._at < len(self._text):
                following = self._next()
                out.append(_ESCAPES.get(following, "\\" + following) if following != quote else quote)
            else:
                out.append(char)
        raise _Broken(f"line {begun}: a quoted text does not end")

    def _bare(self) -> str:
        out: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in _BLANKS or char == ";" or (char == "{" and out[-1:] != ["$"]):
                break
            self._next()
            if char == "\\" and self._at < len(self._text):
                following = self._next()
                out.append(_ESCAPES.get(following, "\\" + following))
            elif char == "{":
                out.append(char + self._variable())
            else:
                out.append(char)
        return "".join(out)

    def _variable(self) -> str:
        """The rest of `${name}`."""
        end = self._text.find("}", self._at)
        if end < 0 or not re.fullmatch(r"\w*", self._text[self._at : end]):
            return ""
        name = self._text[self._at : end + 1]
        self._at = end + 1
        return name

    def _skip_lua(self) -> None:
        depth = 1
        while self._at < len(self._text):
            char = self._next()
            depth += (char == "{") - (char == "}")
            if not depth:
                return
        raise _Broken('a block of Lua is not closed with "}"')

    def _next(self) -> str:
        char = self._text[self._at]
        self._at += 1
        self._line += char == "\n"
        return char


_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}
"""nginx unescapes these in words and in quotes; any other backslash stays, which expressions rely on."""


def _quoted(word: str) -> str:
    if word and not re.search(r"[\s;{}\"'#]", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
