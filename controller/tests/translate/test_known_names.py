"""Every annotation and ConfigMap key of ingress-nginx has a verdict. Compared with the catalogue, if it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.model.configuration import MainSettings
from controller.translate.annotations.registry import VERDICTS
from controller.translate.configmap import CLOSING, PARSERS, UNSUPPORTED

CATALOGUE = Path(__file__).parents[4] / "shared" / "spec"
ESCAPES = {"log-format-escape-json", "log-format-escape-none"}

needs_catalogue = pytest.mark.skipif(not CATALOGUE.is_dir(), reason="the catalogue is not part of the project")


def names(page: str) -> list[str]:
    entries: list[dict[str, Any]] = yaml.safe_load((CATALOGUE / page).read_text())
    return [entry["name"] for entry in entries]


@needs_catalogue
def test_every_annotation_has_a_verdict() -> None:
    known = set(VERDICTS)
    assert [name for name in names("annotations.yaml") if "/" not in name and name not in known] == []


@needs_catalogue
def test_every_configmap_key_has_a_verdict() -> None:
    known = {*PARSERS, *UNSUPPORTED, *CLOSING, *ESCAPES}
    assert [name for name in names("configmap.yaml") if name not in known] == []


def test_no_name_has_two_verdicts() -> None:
    groups = [set(PARSERS), set(UNSUPPORTED), set(CLOSING), ESCAPES]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_every_parsed_key_is_a_setting() -> None:
    fields = set(MainSettings.__dataclass_fields__)
    assert {key.replace("-", "_") for key in PARSERS} <= fields
