"""How much is measured: `quick` shows in continuous integration that all of it runs, `full` gives figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """`sizes` are numbers of hosts, `trials` how often a thing is measured (ours and bare in turns), `seconds` how
    long one load lasts, `churn_seconds` how long the steady state is watched. `scratch` is a directory for everything
    that is thrown away; `note` are words about the run that its results keep.
    """

    profile: str
    sizes: tuple[int, ...]
    trials: int
    seconds: float
    churn_seconds: float
    scratch: Path = field(default=Path())
    note: str = ""

    @property
    def quick(self) -> bool:
        return self.profile == "quick"

    @property
    def title(self) -> str:
        """The profile, and in what this run differs from it."""
        usual = PROFILES[self.profile]
        sizes = f"{', '.join(map(str, self.sizes))} hosts" if self.sizes != usual.sizes else ""
        trials = f"{self.trials} trials" if self.trials != usual.trials else ""
        churn = f"{self.churn_seconds:g} s of churn" if self.churn_seconds != usual.churn_seconds else ""
        return "; ".join(part for part in (self.profile, sizes, trials, churn, self.note) if part)


PROFILES = {
    "quick": Plan("quick", sizes=(10,), trials=1, seconds=0.5, churn_seconds=5),
    "full": Plan("full", sizes=(10, 1_000, 5_000, 10_000), trials=7, seconds=4, churn_seconds=1_800),
}
