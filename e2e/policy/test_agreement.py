"""The policy and the controller agree, because both are written from the same grammars.

It never refuses what the controller takes, and refuses whatever the controller refuses in the object alone, but for
regular expressions that do not compile. Compared on a real API server: with the examples, the golden cases and many
thousand made-up values.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from controller.tests.case_files import all_cases
from controller.translate.annotations.registry import VERDICTS
from e2e.policy.agreement import compare, read
from e2e.policy.dryrun import Answer, DryRun
from e2e.policy.objects import ingress

EXAMPLES = Path(__file__).parents[2] / "examples"
SEED = 4
PIECES = (
    *"/.-_~%:@!*+,=&();{}$\\#'\"<>[]|?^` \t\n\x00\x1f\x7f",
    *("a", "Z", "0", "9", "é", "日", "٣", "ß", "ª", "²", "\u0301", "\u0085", "\u2028", "\xa0", "😀"),
    *("%41", "%2F", "%2e", "%0A", "%7f", "%C3%A9", "%c3", "%ED%A0%80", "%F0%9F%98%80", "%F4%90%80%80", "%E0%80%80"),
    *(
        "$1",
        "$0",
        "$10",
        "$9",
        "true",
        "off",
        "1",
        "..",
        "//",
        "(?<x>y)",
        "(?P<x>",
        "(?<=y)",
        "(?<!",
        "(?'x'y)",
        "(?:a)",
    ),
)
VALUES = ("true", "True", "tRue", "f", "0", "1", "off", "OFF", "yes", "no", "/", "/$1", "https://a.b/$2", "", " ", "5")


def test_all_examples_are_taken(api: DryRun) -> None:
    found = [o for path in EXAMPLES.rglob("*.yaml") for o in read(path)]
    assert len(found) >= 3
    for each in found:
        assert compare(api, each).taken, each["metadata"]["name"]


def test_golden_cases_are_refused_where_the_controller_refuses_them(api: DryRun) -> None:
    outcomes = [compare(api, each) for each in golden()]
    assert sum(answer.taken for answer in outcomes) > 250
    assert sum(answer.refused_by_policy for answer in outcomes) > 25


def test_paths(api: DryRun) -> None:
    """Any text in a path, of every type, with and without regular expressions."""
    chance = random.Random(SEED)
    answers = []
    for _ in range(1_200):
        path = "/" + text(chance)
        kind = chance.choice(("Exact", "Prefix", "ImplementationSpecific"))
        own = chance.choice(
            (
                {},
                {},
                {"use-regex": "true"},
                {"rewrite-target": path},
                {"rewrite-target": "/$1"},
                {"rewrite-target": ";"},
            )
        )
        answers.append(compare(api, ingress(own, path=path, path_type=kind)))
    assert_both(answers)


def test_long_paths(api: DryRun) -> None:
    for piece in ("x", "é", ".", "$", "(", "%41", "日"):
        for size in (320, 330, 1_000, 1_300, 2_999, 3_000):
            path = "/" + (piece * size)[:size]
            for kind in ("Prefix", "ImplementationSpecific"):
                compare(api, ingress(path=path, path_type=kind))


def test_values_of_annotations(api: DryRun) -> None:
    """Any text in any annotation that there is."""
    chance = random.Random(SEED)
    names = [*VERDICTS, "headrace.dev/hold"]
    answers = []
    for _ in range(800):
        chosen = chance.sample(names, chance.randrange(1, 4))
        answers.append(compare(api, ingress({name: value(chance) for name in chosen})))
    for name in names:
        answers.extend(compare(api, ingress({name: each})) for each in chance.sample(VALUES, 3))
    assert_both(answers)


def test_hosts(api: DryRun) -> None:
    chance = random.Random(SEED)
    alphabet = string.ascii_lowercase + string.digits + "-."
    for _ in range(300):
        label = "".join(chance.choices(alphabet, k=chance.randrange(1, 12)))
        long = "x" * chance.choice((0, 0, 55, 61, 62, 63, 64))
        compare(api, ingress(host=chance.choice(("", "*.", "1.")) + label + long + chance.choice(("", ".2", ".com"))))


def assert_both(answers: list[Answer]) -> None:
    """The test means something only if many are taken and many are refused."""
    assert sum(answer.taken for answer in answers) > 100
    assert sum(answer.refused_by_policy for answer in answers) > 100


def golden() -> Iterator[dict[str, Any]]:
    for case in all_cases():
        try:
            yield from read(case.directory / "in.yaml")
        except yaml.YAMLError:
            continue  # a case about text that is no YAML


def text(chance: random.Random) -> str:
    return "".join(chance.choices(PIECES, k=chance.randrange(0, 5)))


def value(chance: random.Random) -> str:
    blanks = chance.choice(("", "", "", " ", "\n", "\t", "\u3000", "\x1f", "\u200b"))
    return blanks + (chance.choice(VALUES) if chance.random() < 0.6 else text(chance)) + blanks
