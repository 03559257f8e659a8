"""Golden cases: what manifests come to, whatever the order of the objects and however they arrive."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

import pytest

from controller.model.refs import Kind
from controller.render.fragments import Renderer
from controller.state.events import Applied, Deleted, Rejected
from controller.state.store import Store
from controller.tests.case_files import BadCase, Case, all_cases, settings_of
from controller.tests.case_runner import LAYOUT, Outcome, outcome_of, run
from controller.translate.tls import CertificateCache

CASES = all_cases()
PRESENT = [case for case in CASES if not (case.directory / "before.yaml").exists()]
"""Those to which it does not matter what was there earlier."""
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


@pytest.mark.parametrize("case", PRESENT, ids=[case.name for case in PRESENT])
def test_one_object_at_a_time_leads_to_the_same(case: Case) -> None:
    """One renderer and one certificate cache serve all the way, as in the controller; then each object leaves once."""
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


def test_files_without_a_meaning_are_refused(tmp_path: Path) -> None:
    case = Case(tmp_path)
    (tmp_path / "in.yaml").write_text("kind: List\n")
    with pytest.raises(BadCase, match="nothing is expected"):
        case.files()
    (tmp_path / "explain.txt").write_text("http://a.com/ -> 404\n")
    assert set(case.files()) == {"explain.txt"}
    (tmp_path / "models.yaml").write_text("hosts: {}\n")
    with pytest.raises(BadCase, match=r"models\.yaml"):
        case.files()


def test_a_file_of_a_host_that_is_gone_is_stale() -> None:
    found = run(CASES[0]).parts(["conf/no-such-host.conf", "model.yaml"])
    assert "conf/no-such-host.conf" not in found


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
