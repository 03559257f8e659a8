"""Files made from the code are up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.docs import GENERATED


@pytest.mark.parametrize("path", GENERATED, ids=str)
def test_a_generated_file_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == GENERATED[path](), "run `make docs`"
