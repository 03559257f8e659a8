"""One measured figure: ours, what bare nginx reaches in the same run, what others reach, and the goal.

A figure judges itself, so that a table, a plot and a test can never tell different stories of one number. It is a
value: parts of the suite make it, results keep it as JSON, reports read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

Verdict = Literal["met", "missed", "no goal"]


@dataclass(frozen=True)
class Figure:
    """`ours` and `bare` are medians in `unit`; `others` has what other controllers reach, in the same unit.

    `hosts` is how many the configuration had (0: it does not depend on them), `spread` the least and the greatest of
    our trials. `goal` bounds the ratio where there is a `bare`, else the value, unless `goal_on` says which. `better`
    is the direction of both.
    """

    part: str
    name: str
    hosts: int
    unit: str
    ours: float
    bare: float | None = None
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"
    others: dict[str, float] = field(default_factory=dict)
    spread: tuple[float, float] | None = None
    note: str = ""
    goal_on: Literal["value", "ratio"] | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to bare; None where nothing bare does the same."""
        return self.ours / self.bare if self.bare else None

    @property
    def judges(self) -> Literal["value", "ratio"]:
        """What the goal is for."""
        return self.goal_on or ("value" if self.ratio is None else "ratio")

    @property
    def verdict(self) -> Verdict:
        judged = self.ours if self.judges == "value" else self.ratio
        if self.goal is None or judged is None:
            return "no goal"
        met = judged <= self.goal if self.better == "lower" else judged >= self.goal
        return "met" if met else "missed"


def to_json(figures: Iterable[Figure]) -> bytes:
    """An array of figures, one line each, so that a new measurement is a readable change."""
    lines = (msgspec.json.encode(figure) for figure in figures)
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def from_json(text: bytes) -> list[Figure]:
    """The inverse of `to_json`; raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(text, type=list[Figure])
