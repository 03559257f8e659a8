"""docs/performance: results as JSON, tables between two marks of README.md, and plots.

What stands outside the marks is written by people and stays. A part that was not measured keeps its last result, with
the machine and the date of that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from e2e.bench.figures import Figure
from e2e.bench.machine import Machine, described
from e2e.bench.plot import ratios

BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


class Result(msgspec.Struct, frozen=True):
    """One part as it was measured."""

    part: str
    measured: str
    profile: str
    machine: Machine
    figures: list[Figure]


def keep(part: str, profile: str, figures: Sequence[Figure], directory: Path) -> None:
    """Write results/<part>.json and its plot below `directory`."""
    result = Result(part, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), profile, described(), list(figures))
    results = directory / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{part}.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    plot = ratios(f"{part}: ratio to bare nginx of the same run", figures)
    if plot:
        (directory / f"{part}.svg").write_text(plot)


def results_in(directory: Path) -> list[Result]:
    """By name of the part."""
    files = sorted((directory / "results").glob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Result) for path in files]


def write(directory: Path) -> Path:
    """Put all results into README.md between its marks; a page without marks gets them at its end."""
    directory.mkdir(parents=True, exist_ok=True)
    page = directory / "README.md"
    text = page.read_text() if page.exists() else "# Performance\n"
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2] or "\n"
    sections = "\n".join(_section(result, directory) for result in results_in(directory))
    page.write_text(f"{head.rstrip()}\n\n{BEGIN}\n\n{sections}\n{END}{tail}")
    return page


def _section(result: Result, directory: Path) -> str:
    machine = result.machine
    lines = [
        f"## {result.part}",
        "",
        f"{result.measured}, profile `{result.profile}`: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib} GiB, {machine.kernel}; nginx {machine.nginx}; {machine.python}.",
        "",
        "| | hosts | unit | ours (least - greatest) | bare nginx | ratio | goal | verdict | others |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | --- | --- |",
        *map(_line, result.figures),
        "",
    ]
    notes = [f"- {figure.name}, {figure.hosts:,} hosts: {figure.note}" for figure in result.figures if figure.note]
    lines += [*notes, ""] if notes else []
    if (directory / f"{result.part}.svg").exists():
        lines += [f"![{result.part}: ratio to bare nginx]({result.part}.svg)", ""]
    return "\n".join(lines)


def _line(figure: Figure) -> str:
    spread = f" ({number(figure.spread[0])} - {number(figure.spread[1])})" if figure.spread else ""
    sign = "≤" if figure.better == "lower" else "≥"
    goal = (
        "" if figure.goal is None else f"{sign} {number(figure.goal)}{' of bare' if figure.judges == 'ratio' else ''}"
    )
    cells = (
        figure.name,
        f"{figure.hosts:,}" if figure.hosts else "",
        figure.unit,
        number(figure.ours) + spread,
        "" if figure.bare is None else number(figure.bare),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        goal,
        {"met": "met", "missed": "**missed**", "no goal": ""}[figure.verdict],
        ", ".join(f"{name} {number(value)}" for name, value in figure.others.items()),
    )
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
