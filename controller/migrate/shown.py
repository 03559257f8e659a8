"""Text of users as it may be shown: no control characters, and nothing that turns the direction of what follows."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with every character that is not printable as an escape; line breaks and tabs too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
