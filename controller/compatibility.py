"""Writes docs/compatibility.md: every annotation and every key of the ConfigMap, its verdict, and tests that show it.

Tests say what they show by a marker, `@pytest.mark.shows("enable-cors", "configmap:use-gzip")`, that is read from their
source: nothing is imported or run. A marker of a module counts for each name once, as the module.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from controller.translate.annotations.annotation import OUR_PREFIX
from controller.translate.annotations.differences import DIFFERENCES
from controller.translate.annotations.registry import INSTEAD, OUR_ANNOTATIONS, VERDICTS, Verdict
from controller.translate.configmap.verdicts import SILENT, TOLD
from controller.translate.configmap.verdicts import VERDICTS as KEYS

ROOT = Path(__file__).parents[1]
TESTS = ("controller/tests", "e2e")
SETTING = "configmap:"
MOST_SHOWN = 3
"""Test cases that are named for one annotation; the page gives the number of the others."""

_MEANINGS = {
    Verdict.HONOURED: "carried out",
    Verdict.CLOSES: "a protection that cannot be carried out: the paths of the Ingress answer 503",
    Verdict.REFUSED: "never taken; told with what to use instead",
    Verdict.UNSUPPORTED: "needs what stock nginx has no module for; told, without effect",
    Verdict.OBSOLETE: "had no effect in the last versions of ingress-nginx; told once, without effect",
    Verdict.SILENT: "rightly without effect",
}

_INTRODUCTION = """# Compatibility with ingress-nginx

Every annotation of ingress-nginx and every key of its ConfigMap, what becomes of it here, and the tests that show it.
A name that is not on this page is not known: it is told with the nearest known one, and has no effect. A value that is
not valid costs its own annotation or key and nothing else; where it was a protection, the route is closed.

This page is written by `make docs` from the code and from the markers of its tests.
"""


def shown() -> Mapping[str, tuple[str, ...]]:
    """Test cases by the name that they show, as `file::test`, in the order of files and lines."""
    return _shown(ROOT)


@cache
def _shown(root: Path) -> Mapping[str, tuple[str, ...]]:
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for directory in TESTS:
        for path in sorted((root / directory).rglob("test_*.py")):
            for name, case in cases_of(path.read_text(), path.relative_to(root).as_posix()):
                found[name][case] = None
    return {name: tuple(cases) for name, cases in found.items()}


def cases_of(source: str, path: str) -> Iterator[tuple[str, str]]:
    """(name, case) for each marker of a test module: on tests, on parameters of tests, on classes, on the module."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_pytestmark(node):
            yield from ((name, path) for name in _marked(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                yield from ((name, f"{path}::{node.name}") for name in _marked(decorator))


def _is_pytestmark(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets)


def _marked(node: ast.AST) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "shows":
            yield from (a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def without_case() -> tuple[str, ...]:
    """Names of annotations and keys that no test shows."""
    cases = shown()
    names = (*VERDICTS, *(f"{SETTING}{key}" for key in KEYS))
    return tuple(name for name in names if name not in cases)


def unknown_names() -> tuple[str, ...]:
    """Names in markers that are neither an annotation nor a key: a misspelt one would hide a gap."""
    ours = {name for each in OUR_ANNOTATIONS for name in (each, f"{OUR_PREFIX}{each}")}
    known = {*VERDICTS, *ours, *(f"{SETTING}{key}" for key in KEYS)}
    return tuple(sorted(name for name in shown() if name not in known))


# -- the page


def compatibility_page() -> str:
    """All of it, as Markdown."""
    return "\n".join((
        _INTRODUCTION,
        _counts(),
        "## Annotations\n",
        *_table("", VERDICTS),
        "\n## Keys of the ConfigMap\n",
        *_table(SETTING, KEYS),
        "",
    ))  # fmt: skip


def _counts() -> str:
    annotations, keys = Counter(VERDICTS.values()), Counter(KEYS.values())
    rows = [
        f"| {verdict} | {annotations[verdict]} | {keys[verdict]} | {_MEANINGS[verdict]} |"
        for verdict in Verdict
        if annotations[verdict] or keys[verdict]
    ]
    total = f"| all | {annotations.total()} | {keys.total()} | |"
    return "\n".join(("| verdict | annotations | keys | |", "|---|---:|---:|---|", *rows, total, ""))


def _table(prefix: str, verdicts: Mapping[str, Verdict]) -> Iterable[str]:
    yield "| name | verdict | what differs, or what to use instead | shown by |"
    yield "|---|---|---|---|"
    for name, verdict in sorted(verdicts.items()):
        note = _note(prefix, name, verdict).replace("|", "\\|")
        yield f"| `{name}` | {verdict} | {note} | {_cases(f'{prefix}{name}')} |"


def _note(prefix: str, name: str, verdict: Verdict) -> str:
    different = DIFFERENCES.get(f"{prefix}{name}", "")
    if not prefix:
        return different if verdict is Verdict.HONOURED else INSTEAD.get(name, different)
    told = " ".join(TOLD.get(verdict, {}).get(name, ())) or SILENT.get(name, "")
    return told or different


def _cases(name: str) -> str:
    cases = shown().get(name, ())
    first = "<br>".join(f"`{_short(case)}`" for case in cases[:MOST_SHOWN])
    more = f"<br>and {len(cases) - MOST_SHOWN} more" if len(cases) > MOST_SHOWN else ""
    return f"{first}{more}" if cases else "-"


def _short(case: str) -> str:
    return case.removeprefix("controller/tests/")
