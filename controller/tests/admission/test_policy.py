"""What the generated file is made of; what it says to objects is tested on a real API server (e2e/policy)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import re2
import yaml

from controller.admission import cel
from controller.admission.policy import generated_file
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.registry import HONOURED, VERDICTS, Verdict

KUBERNETES_1_30 = frozenset(
    """
    all exists filter map find findAll indexOf join lowerAscii matches orValue quote size split startsWith substring
    trim
    """.split()
)
PARTS = yaml.safe_load(generated_file())


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def test_only_functions_of_the_oldest_kubernetes_are_called() -> None:
    """The API server of the tests is a newer one and would not tell."""
    code = (re.sub(r"'(?:[^'\\]|\\.)*'", "''", text) for text in strings(PARTS))
    assert {name for text in code for name in re.findall(r"\.(\w+)\(", text)} == KUBERNETES_1_30


@pytest.mark.parametrize("name", [*(a.name for a in HONOURED), *VERDICTS])
def test_no_annotation_is_forgotten(name: str) -> None:
    warned = VERDICTS.get(name) in (Verdict.UNSUPPORTED, Verdict.OBSOLETE, Verdict.SILENT)
    part = PARTS["warn" if warned else "refuse"]
    assert any(f"'{name}'" in text or f"/{name}'" in text for text in strings(part))


@pytest.mark.parametrize("annotation", HONOURED, ids=lambda annotation: annotation.name)
def test_every_grammar_is_one_for_re2(annotation: Annotation[Any]) -> None:
    """RE2 repeats no more than a thousand times, nested counts multiplied; the API server would refuse the policy."""
    options = re2.Options()
    options.log_errors = False
    re2.compile(f"^(?:{cel.re2_source(annotation.grammar.pattern)})$", options)


def test_the_text_is_the_same_in_every_process() -> None:
    command = [
        sys.executable,
        "-c",
        "from controller.admission.policy import generated_file; print(generated_file(), end='')",
    ]
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout == generated_file()
