"""docs/migrate.md: its commands are ones that the program takes, and what it says of JSON is what comes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from controller.cli.main import build_parser
from controller.migrate.model import Fate
from controller.migrate.report import GENERAL
from controller.migrate.table import MARKS
from controller.tests.live.objects import service
from controller.tests.migrate.test_report import CLASS, deployment, report, settings, web

PAGE = (Path(__file__).parents[3] / "docs" / "migrate.md").read_text()
COMMANDS = re.findall(r"^ {4}(headrace .*)$|`(headrace [^`]*)`", PAGE, re.MULTILINE)
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("line", sorted({a or b for a, b in COMMANDS if " " in (a or b).removeprefix("headrace ")}))
def test_commands_are_taken(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[:1] == ["migrate"] and not any(word in words for word in ("--kubeconfig", "manifests/")):
        words += ["manifests/"]  # a command that is named in passing
    if words[:2] == ["migrate", "diff"] and len(words) < 4:
        words[2:2] = ["http://a", "http://b"]
    args = build_parser().parse_args(words)
    assert args.command == words[0]


def test_marks_are_those_of_the_report() -> None:
    for fate in Fate:
        assert f"| {MARKS[fate]} | `{fate}` |" in PAGE


def test_files_that_are_named_are_there() -> None:
    for name in set(re.findall(r"charts/headrace/[\w./-]+\.yaml", PAGE)):
        assert (ROOT / name).is_file(), name


def test_what_is_different_for_everybody_stands_in_both() -> None:
    for words in ("Prefix path", "500 ms", "hold-deadline", "header"):
        assert any(words in sentence for sentence in GENERAL)
        assert words in PAGE.partition("## What is different for everybody")[2]


def test_the_shape_of_the_json(tmp_path: Path) -> None:
    described = PAGE.partition("## Shape of the JSON")[2]
    objects = [CLASS, service("web"), web(configuration_snippet="gzip on;"), deployment("--configmap=infra/front")]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([*objects, settings(use_gzip="true")]))
    names: set[str] = set()
    waiting = [json.loads(report(tmp_path, "--output", "json").stdout)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            names |= value.keys()
            waiting += [each for key, each in value.items() if key not in ("diagnostics", "ingresses", "items")]
            waiting += value["ingresses"] if isinstance(value.get("ingresses"), list) else []
    fixed = {name for name in names if re.fullmatch(r"[a-z_]+", name)} - {"default/web", "on"}
    assert {name for name in fixed if f'"{name}"' not in described} == set()
