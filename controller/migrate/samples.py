"""One path that an expression takes, so that a rule with an expression can be asked for, too.

Enough of PCRE for what paths hold: groups, alternatives, classes, escapes, quantifiers. Every sample is checked against
the expression; where none is found the answer is None, never a wrong one.
"""

from __future__ import annotations

from controller.explain.pcre import Undecidable, compile_pcre

_ESCAPES = {"d": "1", "w": "a", "s": "%20", "D": "x", "W": "-", "S": "x", "b": "", "A": "", "z": "", "Z": "", "/": "/"}
_NOT = "x1-_a/"
_LONGEST = 512


def sample_of(expression: str) -> str | None:
    """A path that begins with `/` and that the expression takes from its start; None where none is found."""
    try:
        text = _Sampler(expression.removeprefix("^")).read()
        pattern = compile_pcre(f"(?:{expression})")
    except (Undecidable, ValueError, IndexError, RecursionError):
        return None
    fits = text.startswith("/") and len(text) <= _LONGEST and pattern.match(text.encode()) is not None
    return text if fits else None


class _Sampler:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def read(self) -> str:
        """Raises `ValueError` or `IndexError` for what it does not know."""
        found = self._alternatives()
        if self._at < len(self._text):
            raise ValueError("an unmatched parenthesis")
        return found

    def _alternatives(self) -> str:
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        out = ""
        while self._peek() not in ("", "|", ")"):
            out += self._repeated(self._atom())
        return out

    def _atom(self) -> str:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            escaped = self._take()
            if escaped.isalnum() and escaped not in _ESCAPES:
                raise ValueError(f"\\{escaped}")
            return _ESCAPES.get(escaped, escaped)
        return {".": "x", "^": "", "$": ""}.get(char, char)

    def _group(self) -> str:
        looks = False
        if self._peek() == "?":
            self._at += 1
            head = self._take()
            if head in "=!":
                looks = True
            elif head in "P<'":
                while (char := self._take()) not in ">'":
                    looks |= char in "=!"
            else:
                while head not in ":)":
                    head = self._take()
                if head == ")":
                    return ""
        inner = self._alternatives()
        if self._take() != ")":
            raise ValueError("a group does not end")
        return "" if looks else inner

    def _class(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        members = [self._take()]
        while (char := self._take()) != "]":
            members.append(_ESCAPES.get(self._take(), "x") if char == "\\" else char)
        if not negated:
            return members[0] if members[0] != "\\" else "".join(members[1:2])
        return next(char for char in _NOT if char not in members)

    def _repeated(self, atom: str) -> str:
        """Once where it may be more or less, as often as it must be where that is more."""
        times = 1
        char = self._peek()
        if char and char in "*+?":
            self._at += 1
        elif char == "{":
            end = self._text.index("}", self._at)
            least = self._text[self._at + 1 : end].partition(",")[0]
            times = max(1, int(least or "0"))
            self._at = end + 1
        else:
            return atom
        if (lazy := self._peek()) and lazy in "?+":
            self._at += 1
        if times > _LONGEST:
            raise ValueError("too long")
        return atom * times

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._text[self._at]
        self._at += 1
        return char
