"""Pages made from the code are up to date, and what they say exists."""

from __future__ import annotations

from controller.docs import DIAGNOSTICS, diagnostics_page


def test_the_page_of_diagnostics_is_what_the_code_says() -> None:
    assert DIAGNOSTICS.read_text() == diagnostics_page(), "run `make docs`"
