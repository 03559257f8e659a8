"""No value of an annotation or a key keeps the controller busy: every grammar decides quickly about the worst of them.

A pattern that can read the same text in many ways takes years to refuse a text of two thousand characters; one team
could then stop the controller for all. Each is given pieces of what it takes, over and over, with an end that it does
not take.
"""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.tests.fuzz.inputs import GRAMMARS, matching
from controller.translate.annotations.values import LONGEST

SECONDS = 0.5
"""Of processor time, for one text. The slowest takes a tenth of it."""

PATTERNS = {grammar.pattern: name for name, grammar in sorted(GRAMMARS.items(), reverse=True)}
USUAL = (
    "$1",
    "a",
    "0",
    "A-",
    "a.",
    ", ",
    "x ",
    " ",
    "-",
    "_",
    "$host",
    "1:",
    ":",
    ",",
    "10.",
    "a,",
    "::,",
    "1.1.1.1,",
    "200 5m,",
)


class TooSlow(Exception):
    """The time is over."""


@pytest.mark.parametrize("pattern", PATTERNS, ids=PATTERNS.values())
def test_it_decides_quickly(pattern: re.Pattern[str]) -> None:
    for text in endless(pattern):
        with limited(text):
            pattern.fullmatch(text)


def endless(pattern: re.Pattern[str]) -> Iterator[str]:
    """Texts of the greatest length that the pattern nearly takes."""
    taken = matching(pattern)
    pieces = {text[i : i + size] for text in taken for i in range(min(len(text), 60)) for size in (1, 2, 3, 5, 8)}
    chosen = [*USUAL, *sorted(pieces)]
    random.Random(7).shuffle(chosen)
    for piece in (*USUAL, *chosen[:80]):
        for beginning in ("", "a", "http://a/"):
            yield (beginning + piece * LONGEST)[: LONGEST - 1] + "\x01"


@contextmanager
def limited(text: str) -> Iterator[None]:
    """Raises `TooSlow`; the time is that of the processor, so a busy machine does not matter."""

    def over(*_: object) -> None:
        raise TooSlow(f"{text[:40]!r}...")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
