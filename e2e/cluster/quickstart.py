"""The commands of README.md that are run as they stand: the fenced blocks after a line `<!-- e2e: NAME -->`."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^<!-- e2e: (?P<name>[a-z-]+) -->\n```sh\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(text: str, *names: str) -> list[str]:
    """The blocks with one of these names, in their order."""
    return [found["commands"] for found in BLOCK.finditer(text) if found["name"] in names]
