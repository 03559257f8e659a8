"""Golden cases: what manifests come to, whatever the order of the objects and however they arrive."""

from __future__ import annotations

from difflib import unified_diff

import pytest

from controller.model.refs import Kind
from controller.render.fragments import Renderer
from controller.state.events import Applied, Deleted, Rejected
from controller.state.store import Store
from controller.tests.case_runner import LAYOUT, BadCase, Case, Outcome, all_cases, outcome_of, run, settings_of
from controller.translate.tls import CertificateCache

CASES = all_cases()
EACH = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@EACH
def test_what_is_expected(case: Case, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        _write(case)
    expected = case.files()
    found = run(case).parts(expected)
    if found != expected:
        pytest.fail(_differences(expected, found), pytrace=False)


@EACH
@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_objects_does_not_matter(case: Case, seed: int) -> None:
    _same(run(case, seed), run(case))


@EACH
def test_a_second_build_changes_nothing(case: Case) -> None:
    """Nor does it render anything anew: what has not changed is the very same object."""
    store = run(case).store
    renderer, cache = Renderer(LAYOUT), CertificateCache()
    first = outcome_of(case, store, renderer, cache, {})
    second = outcome_of(case, store, renderer, cache, {})
    _same(first, second)
    servers = {path: fragment for path, fragment in first.fragments.fragments.items() if path.startswith("servers/")}
    assert all(second.fragments.fragments[path] is fragment for path, fragment in servers.items())


@EACH
def test_one_object_at_a_time_leads_to_the_same(case: Case) -> None:
    """One renderer and one certificate cache serve all the way, as in the controller; then each object leaves once."""
    if case.earlier:
        pytest.skip("what was there earlier is part of this case")
    store, renderer, cache = Store(frozenset()), Renderer(LAYOUT), CertificateCache()
    for event in case.events:
        store.apply(event)
        outcome_of(case, store, renderer, cache, {})
    _same(outcome_of(case, store, renderer, cache, {}), run(case))
    for event in case.events:
        if isinstance(event, Applied) and event.key.kind is Kind.INGRESS:
            store.apply(Deleted(event.key))
            outcome_of(case, store, renderer, cache, {})
            store.apply(event)
    _same(outcome_of(case, store, renderer, cache, {}), run(case))


@EACH
def test_only_findings_and_nothing_else_come_of_an_unreadable_object(case: Case) -> None:
    """Every object is either applied or told about: none is lost on the way."""
    rejected = {event.key for event in case.events if isinstance(event, Rejected)}
    told = {finding.object for finding in run(case).translation.report.diagnostics}
    assert rejected <= told


def test_there_are_cases() -> None:
    assert len(CASES) >= 150


def test_a_key_that_nobody_reads_is_refused() -> None:
    with pytest.raises(BadCase):
        settings_of({"watch_namespaces": "a"})
    with pytest.raises(BadCase):
        settings_of({"disable_catch_all": "yes"})


def _same(one: Outcome, other: Outcome) -> None:
    assert one.translation == other.translation
    assert one.fragments == other.fragments


def _write(case: Case) -> None:
    names = [name for name in case.files() if name != "diagnostics.txt"]
    found = run(case).parts(names)
    for name in {*case.files(), *found}:
        path = case.directory / name
        if name in found:
            path.write_text(found[name])
        else:
            path.unlink()


def _differences(expected: dict[str, str], found: dict[str, str]) -> str:
    lines: list[str] = []
    for name in sorted(expected.keys() | found.keys()):
        before, after = expected.get(name, ""), found.get(name, "")
        lines += unified_diff(
            before.splitlines(), after.splitlines(), f"expected {name}", f"found {name}", "", "", 3, ""
        )
    return "\n".join(lines)
