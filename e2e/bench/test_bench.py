"""The frame of the benchmark with real processes: figures come out and are right in kind. Times are not judged here."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from controller.dataplane.binary import find_nginx
from controller.tests.live.objects import key_pair
from e2e.bench import changes, dataplane, python, report, start, steady
from e2e.bench.bare import Variant, written
from e2e.bench.figures import Figure, from_json, to_json
from e2e.bench.plan import PROFILES
from e2e.bench.plot import ratios
from e2e.bench.shapes import Shape

RATE = Figure("p", "HTTP", 5_000, "requests/s", 90.0, 100.0, goal=0.95, better="higher", others={"peer": 56.0})
TIME = Figure("p", "start", 10, "s", 5.5, goal=6.0, spread=(5.0, 6.5), note="once")


def test_a_figure_judges_the_ratio_where_there_is_one() -> None:
    assert (RATE.ratio, RATE.verdict) == (0.9, "missed")
    assert replace(RATE, ours=95.0).verdict == "met"
    assert replace(RATE, goal=80.0, goal_on="value").verdict == "met"
    assert replace(RATE, goal=None).verdict == "no goal"
    assert (TIME.ratio, TIME.verdict, replace(TIME, ours=6.1).verdict) == (None, "met", "missed")


def test_figures_survive_json() -> None:
    assert from_json(to_json([RATE, TIME])) == [RATE, TIME]


def test_a_page_keeps_what_people_wrote_and_parts_that_were_not_measured(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# Mine\n\nbefore\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    report.keep("one", "quick", [RATE], tmp_path)
    report.write(tmp_path)
    report.keep("two", "quick", [TIME], tmp_path)
    text = report.write(tmp_path).read_text()
    assert text.startswith("# Mine\n\nbefore\n") and text.endswith("\n\nafter\n") and "old" not in text
    assert "| HTTP | 5,000 | requests/s | 90 | 100 | 0.90 | ≥ 0.95 of bare | **missed** | peer 56 |" in text
    assert "| start | 10 | s | 5.5 (5 - 6.5) |  |  | ≤ 6 | met |  |" in text
    assert "- start, 10 hosts: once" in text
    assert "](one.svg)" in text and "two.svg" not in text
    assert report.write(tmp_path).read_text() == text


def test_a_plot_shows_each_ratio() -> None:
    drawn = ElementTree.fromstring(ratios("<title>", [RATE, TIME]))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "HTTP, 5,000 hosts" in texts and "0.90 missed" in texts and "start, 10 hosts" not in texts
    assert ratios("nothing", [TIME]) == ""


@pytest.mark.nginx
def test_every_load_of_the_data_plane_gives_figures(tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = replace(PROFILES["quick"], scratch=tmp_path_factory.getbasetemp())
    plan.scratch.chmod(0o755)
    found = dataplane.run(plan)
    titles = {title for case in dataplane.cases(plan) for title in case.loads}
    rates = [figure for figure in found if figure.unit == "requests/s"]
    assert {figure.name.removesuffix(f", {dataplane.METRICS}") for figure in rates} == titles
    assert all(figure.ours > 0 for figure in found if not figure.name.endswith("CPU of the controller"))
    assert {figure.verdict for figure in found} <= {"met", "missed", "no goal"}


@pytest.mark.nginx
@pytest.mark.parametrize("variant", dataplane.VARIANTS.values(), ids=dataplane.VARIANTS)
def test_nginx_takes_what_is_written_by_hand(variant: Variant, tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_bytes(b"".join(key_pair("localhost")))
    (tmp_path / "nginx.conf").write_text(written(Shape(), variant, tmp_path, 8080, 8443, (8081, 8082)))
    command = [find_nginx(), "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_every_stage_of_the_program_gives_figures() -> None:
    found = python.run(PROFILES["quick"])
    stages = {figure.name.partition(",")[0] for figure in found}
    assert {"decode", "translate", "render", "all"} <= stages, stages
    assert all(figure.ours >= 0 for figure in found)


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("part", "names"),
    [
        (changes, {changes.NEW, changes.GONE, changes.SECRET, changes.HUNDRED, changes.PAIR}),
        (start, {"cold start to all served", "warm restart to ready", "memory (PSS) of the data plane"}),
        (steady, {"idle, CPU of both", "churn, old workers at most", "churn, reloads"}),
    ],
    ids=["changes", "start", "steady"],
)
def test_a_real_control_plane_gives_figures(
    part: ModuleType, names: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = replace(PROFILES["quick"], scratch=tmp_path_factory.getbasetemp())
    plan.scratch.chmod(0o755)
    found = {figure.name: figure for figure in part.run(plan)}
    assert names <= set(found)
    assert all(found[name].hosts == 10 for name in names)
    moments = [figure for figure in found.values() if figure.unit in ("s", "MiB")]
    assert all(figure.ours > 0 for figure in moments)
    assert all(figure.ours == 0 for name, figure in found.items() if name.endswith("that failed"))


def test_a_shorter_run_says_what_it_was() -> None:
    short = replace(PROFILES["full"], sizes=(10, 1_000), trials=3, note="a busy machine")
    assert short.title == "full; 10, 1000 hosts; 3 trials; a busy machine"
    assert PROFILES["full"].title == "full"
