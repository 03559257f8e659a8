"""Files made from the code are up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.compatibility import unknown_names, without_case
from controller.docs import GENERATED


@pytest.mark.parametrize("path", GENERATED, ids=str)
def test_a_generated_file_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == GENERATED[path](), "run `make docs`"


def test_a_test_shows_every_annotation_and_every_key() -> None:
    """Add `@pytest.mark.shows(...)` to a test that does."""
    assert without_case() == ()


def test_what_tests_claim_to_show_exists() -> None:
    assert unknown_names() == ()
