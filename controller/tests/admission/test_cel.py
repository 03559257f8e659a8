"""Texts and patterns come into expressions as what they are, whatever they hold."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.admission import cel


@given(st.text())
def test_a_text_is_one_literal(value: str) -> None:
    literal = cel.text(value)
    assert literal.isascii() and literal.isprintable()
    assert ast.literal_eval(literal) == value  # Python reads these escapes as CEL does


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"[^\w.]", r"'[^\\p{L}\\p{N}_.]'"),
        (r"\$[1-9]", r"'\\$[1-9]'"),
        ("[\x00\u2028]", r"'[\u0000\u2028]'"),
    ],
)
def test_a_pattern_is_written_for_re2(pattern: str, expected: str) -> None:
    assert cel.any_of("t", re.compile(pattern)) == f"t.matches({expected})"


@pytest.mark.parametrize(
    "pattern", [r"a(?!b)", r"a(?=b)", r"(?s:a)", r"(a)\1", r"\ba", r"\s", r"\d", r"(?P<n>a)", r"a\Z"]
)
def test_what_re2_reads_otherwise_is_no_pattern_for_a_policy(pattern: str) -> None:
    with pytest.raises(ValueError, match="Python and RE2 share"):
        cel.all_of("t", re.compile(pattern))


def test_flags_are_not_lost_silently() -> None:
    with pytest.raises(ValueError, match="Python and RE2 share"):
        cel.all_of("t", re.compile("a", re.IGNORECASE))
