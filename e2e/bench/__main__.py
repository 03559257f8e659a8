"""`python -m e2e.bench [PART ...]`: measures, keeps results and writes the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from e2e.bench import report
from e2e.bench.figures import Figure
from e2e.bench.load import Unmeasurable
from e2e.bench.plan import PROFILES, Plan

PARTS = ("dataplane", "changes", "start", "steady", "python")
"""Modules of this package with `run(plan)`."""
HOME = Path(__file__).parents[2] / "docs" / "performance"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: everything asked for was measured; 1: something could not be, which was said."""
    given = _parser().parse_args(arguments)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as scratch:
        Path(scratch).chmod(0o755)
        plan = replace(_plan(given), scratch=Path(scratch))
        for part in given.parts or _present():
            try:
                report.keep(part, plan.title, measure(part, plan), given.out)
                report.write(given.out)
            except Unmeasurable as reason:
                failed = 1
                print(f"{part}: {reason}", file=sys.stderr)
    print(report.write(given.out))
    return failed


def measure(part: str, plan: Plan) -> list[Figure]:
    """Run one part of `PARTS`."""
    run = cast(Callable[[Plan], list[Figure]], import_module(f"e2e.bench.{part}").run)
    return run(plan)


def _plan(given: argparse.Namespace) -> Plan:
    """The profile with what was asked for otherwise."""
    asked = {"sizes": given.sizes, "trials": given.trials, "churn_seconds": given.churn, "note": given.note}
    return replace(PROFILES[given.profile], **{name: value for name, value in asked.items() if value})


def _sizes(text: str) -> tuple[int, ...]:
    """In rising order: a cluster only grows."""
    return tuple(sorted(map(int, text.split(","))))


def _present() -> tuple[str, ...]:
    return tuple(part for part in PARTS if find_spec(f"e2e.bench.{part}"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *PARTS], help=", ".join(PARTS))
    parser.add_argument("--profile", choices=tuple(PROFILES), default="full")
    parser.add_argument("--sizes", type=_sizes, metavar="N,N", help="numbers of hosts, such as 10,1000")
    parser.add_argument("--trials", type=int, metavar="N", help="how often a thing is measured")
    parser.add_argument("--churn", type=float, metavar="SEC", help="how long the steady state is watched")
    parser.add_argument("--note", metavar="TEXT", help="words about this run, kept with its results")
    parser.add_argument("--out", type=Path, default=HOME, metavar="DIR", help="default: docs/performance")
    return parser


if __name__ == "__main__":
    sys.exit(main())
