"""Regular expressions that could keep a worker busy: found by their shape, before nginx ever runs them.

PCRE backtracks. Where a repetition can split the same text in many ways and something behind it can fail, it tries all
of them: `(a+)+$` needs twice the time for each further letter. Found are repetitions within repetitions, and choices
within repetitions, that can take the same text; backreferences and recursion; and long rows of repetitions or of
optional parts that can take the same text. What can never fail, such as `/(.*)+` at the end of a path, is harmless and
allowed, and so is what has only one way: `(/[^/]+)*$`.

Characters are sets of bits: 128 for ASCII and one for all others. Both cases count as one, since paths are matched so.
What is not understood is taken for harmless: this is to tell the owner, while a limit of steps in what is rendered
bounds every match (`render/quoting.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

MOST_WIDE = 6
"""Repetitions of nearly any character in one expression: the time grows with this power of the length of a URI."""

MOST_OPTIONAL = 12
"""Parts in a row that may be there or not and can take the same text: two ways for each."""

_FEW = 4
"""Turns of a counted repetition that are not worth a word."""

_EVERYTHING = (1 << 129) - 1
_OTHERS = 1 << 128
_WIDE = 64

REASON = "it can take very long on some requests: {}"


class _NotUnderstood(ValueError):
    """The expression has something in it that is not read here."""


@dataclass(slots=True)
class _Node:
    """A part of an expression: one set of characters, or a choice of sequences.

    `endless`: it takes texts of many lengths, and gives back what it took. `often`: it has many turns.
    """

    chars: int = 0
    choices: list[list[_Node]] = field(default_factory=list)
    low: int = 1
    endless: bool = False
    often: bool = False
    zero_width: bool = False

    @property
    def nullable(self) -> bool:
        return self.low == 0 or self.body_nullable

    @property
    def body_nullable(self) -> bool:
        if not self.choices:
            return self.zero_width and not self.chars
        return any(all(node.nullable for node in sequence) for sequence in self.choices)

    @property
    def can_fail(self) -> bool:
        return self.zero_width or not self.nullable


@lru_cache(maxsize=4096)
def check_backtracking(pattern: str) -> None:
    """Raises `ValueError` with the reason where matching the pattern could take very long."""
    parser = _Parser(pattern)
    try:
        choices = parser.choices()
    except _NotUnderstood:
        choices = []
    except RecursionError as error:
        raise ValueError(REASON.format("groups are nested too deeply")) from error
    if parser.refers_back:
        raise ValueError(REASON.format("it refers back to a group"))
    for sequence in choices:
        _check_sequence(sequence, fails_after=False)
    wide = [node for node in _all(choices) if node.endless and not node.choices and _size(node.chars) >= _WIDE]
    _check_rows(choices)
    for looked_at in parser.looked_at:
        for sequence in looked_at:
            _check_sequence(sequence, fails_after=True)
        _check_rows(looked_at)
    if len(wide) > MOST_WIDE and _last_can_fail(choices, wide):
        raise ValueError(REASON.format(f"it has more than {MOST_WIDE} repetitions of any character"))


def _last_can_fail(choices: list[list[_Node]], wide: list[_Node]) -> bool:
    everything = list(_all(choices))
    last = max(i for i, node in enumerate(everything) if any(node is each for each in wide))
    return any(node.can_fail for node in everything[last + 1 :])


def _check_rows(choices: list[list[_Node]]) -> None:
    """Refuses neighbours that all take the same characters, where something behind them can fail."""
    for sequence in choices:
        last = _last_failing(sequence)
        for start, node in enumerate(sequence[:last]):
            if node.endless or node.low == 0:
                _check_row(sequence[start:last])
            _check_rows(node.choices)
        for node in sequence[last:]:
            _check_rows(node.choices)


def _check_row(sequence: list[_Node]) -> None:
    common, endless, optional = _EVERYTHING, 0, 0
    for node in sequence:
        common &= node.chars
        if node.choices or node.zero_width or not common:
            return
        endless += node.endless
        optional += node.low == 0
        if endless > MOST_WIDE or optional > MOST_OPTIONAL:
            raise ValueError(REASON.format("many neighbours can take the same text"))


def _last_failing(sequence: list[_Node]) -> int:
    """The place of the last part that can fail; 0 where none can."""
    return max((position for position, node in enumerate(sequence) if node.can_fail), default=0)


def _check_sequence(sequence: list[_Node], *, fails_after: bool) -> None:
    last = _last_failing(sequence)
    for position, node in enumerate(sequence):
        after = fails_after or position < last
        if (node.endless or node.often) and node.choices and after:
            _check_repeated(node)
        for choice in node.choices:
            _check_sequence(choice, fails_after=after or (node.endless and any(n.can_fail for n in choice)))


def _check_repeated(node: _Node) -> None:
    if node.body_nullable:
        raise ValueError(REASON.format("a repeated group can be empty"))
    if any(_alike(a, b) for i, a in enumerate(node.choices) for b in node.choices[i + 1 :]):
        raise ValueError(REASON.format("choices of a repeated group begin alike"))
    first = _first(node.choices)
    for sequence in node.choices:
        for inner, follow in _endless_within(sequence, first):
            if _chars(inner) & follow:
                raise ValueError(REASON.format("a repetition is repeated and both can take the same text"))


def _endless_within(sequence: list[_Node], after: int) -> Iterator[tuple[_Node, int]]:
    """Repetitions, each with the characters that may follow it."""
    for position, node in enumerate(sequence):
        follow = 0
        for later in sequence[position + 1 :]:
            follow |= _first_of(later)
            if not later.nullable:
                break
        else:
            follow |= after
        if node.endless:
            yield node, follow
        for choice in node.choices:
            yield from _endless_within(choice, follow | (_first(node.choices) if node.endless else 0))


def _alike(one: list[_Node], other: list[_Node]) -> bool:
    """Whether a text could be read as either: one's fixed beginning agrees with that of the other."""
    for a, b in zip(one, other, strict=False):
        if a.choices or b.choices or a.low != 1 or b.low != 1 or a.endless or b.endless:
            break
        if not a.chars & b.chars:
            return False
    return bool(_first([one]) & _first([other]))


def _first(choices: list[list[_Node]]) -> int:
    found = 0
    for sequence in choices:
        for node in sequence:
            found |= _first_of(node)
            if not node.nullable:
                break
    return found


def _first_of(node: _Node) -> int:
    return _first(node.choices) if node.choices else (0 if node.zero_width else node.chars)


def _chars(node: _Node) -> int:
    found = 0 if node.zero_width else node.chars
    for inner in _all(node.choices):
        found |= 0 if inner.zero_width else inner.chars
    return found


def _all(choices: list[list[_Node]]) -> Iterator[_Node]:
    for sequence in choices:
        for node in sequence:
            yield node
            yield from _all(node.choices)


def _size(chars: int) -> int:
    return chars.bit_count()


def _set(*characters: str) -> int:
    found = 0
    for character in characters:
        for case in {character, character.lower(), character.upper()}:
            found |= 1 << ord(case) if len(case) == 1 and case.isascii() else _OTHERS
    return found


_DIGITS = _set(*"0123456789")
_WORD = _DIGITS | _set(*"abcdefghijklmnopqrstuvwxyz_")
_SPACE = _set(*" \t\n\r\f\v")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CLASSES |= {name.upper(): _EVERYTHING & ~chars for name, chars in _CLASSES.items()}
_TIMES = re.compile(r"(\*|\+|\?|\{(\d+)(,(\d*))?\})([+?]?)")
_OPENING = re.compile(r"\?(?:(<?[=!])|(>)|(?:[:|]|[A-Za-z^-]+:|P?<[^>]*>|'[^']*'))")
_ALONE = re.compile(r"\?(?:#[^)]*|[a-zA-Z^-]*)\)")
_CALLS = re.compile(r"\?(?:R|[+-]?\d|&|P[>=]|\()")


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.refers_back = False
        self.looked_at: list[list[list[_Node]]] = []

    def choices(self, *, inside: bool = False) -> list[list[_Node]]:
        found: list[list[_Node]] = [[]]
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == ")":
                if not inside:
                    raise _NotUnderstood
                return found
            self.at += 1
            if character == "|":
                found.append([])
            else:
                found[-1].append(self._repeated(self._one(character)))
        if inside:
            raise _NotUnderstood
        return found

    def _one(self, character: str) -> _Node:
        if character == "(":
            return self._group()
        if character == "[":
            return _Node(self._class())
        if character == "\\":
            return self._escape()
        if character in "^$":
            return _Node(zero_width=True)
        return _Node(_EVERYTHING if character == "." else _set(character))

    def _group(self) -> _Node:
        if alone := _ALONE.match(self.text, self.at):
            self.refers_back |= self.text.startswith("?R", self.at)
            self.at = alone.end()
            return _Node(choices=[[]])
        if _CALLS.match(self.text, self.at):
            self.refers_back = True
            raise _NotUnderstood
        found = _OPENING.match(self.text, self.at)
        if found:
            self.at = found.end()
        elif self.text.startswith("?", self.at):
            raise _NotUnderstood
        choices = self.choices(inside=True)
        self.at += 1
        looks = bool(found and found[1])
        if looks:
            self.looked_at.append(choices)
        return _Node(choices=[[]] if looks else choices, zero_width=looks)

    def _escape(self) -> _Node:
        if self.at >= len(self.text):
            raise _NotUnderstood
        character = self.text[self.at]
        self.at += 1
        if character in "123456789gk":
            self.refers_back = True
        if character in "bBAzZG":
            return _Node(zero_width=True)
        return _Node(_CLASSES.get(character) or _set(character))

    def _class(self) -> int:
        found = re.compile(r"\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]").match(self.text, self.at)
        if not found:
            raise _NotUnderstood
        body, self.at = found[0][:-1], found.end()
        negated = body.startswith("^")
        chars = 0
        for item in re.finditer(r"\[:\w+:\]|(\\?.)-(\\?[^\\]|\\.)|\\(.)|(.)", body[negated:], re.DOTALL):
            if item[1]:
                low, high = ord(item[1][-1]), ord(item[2][-1])
                chars |= _set(*map(chr, range(low, min(high, 127) + 1))) | (_OTHERS if high > 127 else 0)
            elif item[3]:
                chars |= _CLASSES.get(item[3]) or _set(item[3])
            elif item[4]:
                chars |= _set(item[4])
            else:
                chars |= _WORD | _SPACE
        return _EVERYTHING & ~chars if negated else chars

    def _repeated(self, node: _Node) -> _Node:
        found = _TIMES.match(self.text, self.at)
        if not found:
            return node
        self.at = found.end()
        low = {"*": 0, "?": 0, "+": 1}.get(found[1], int(found[2] or 0))
        endless = found[1] in ("*", "+") or (found[3] is not None and not found[4])
        high = int(found[4] or found[2] or 0)
        gives_back = found[5] != "+"
        node.low, node.endless = low, (endless or high - low > _FEW or high > 20) and gives_back
        node.often = (endless or high > _FEW) and gives_back
        return node
