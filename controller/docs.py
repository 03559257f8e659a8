"""Writes the files that are made from the code: `python -m controller.docs`. A test keeps them true."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from controller.admission.policy import generated_file
from controller.compatibility import compatibility_page
from controller.model.codes import CODES

_INTRODUCTION = """# Diagnostics

Everything that Headrace finds wrong with an object has one of these codes. They are stable: alerts and scripts may
rely on them. Each finding is told as an Event on the object, as one log line when it appears or goes away, by
`headrace lint`, and as the metric `headrace_diagnostics{code, severity}`.

This page is written by `make docs` from `controller/model/codes.py`.
"""


def diagnostics_page() -> str:
    sections = (
        f"## {doc.code}\n\n{doc.means}\n\n**Traffic:** {doc.traffic}\n\n**Mend it:** {doc.fix}\n"
        for doc in CODES.values()
    )
    return "\n".join((_INTRODUCTION, *sections))


GENERATED: dict[Path, Callable[[], str]] = {
    Path("docs/diagnostics.md"): diagnostics_page,
    Path("docs/compatibility.md"): compatibility_page,
    Path("charts/headrace/files/admission-policy.yaml"): generated_file,
}


if __name__ == "__main__":
    for path, text in GENERATED.items():
        path.write_text(text())
