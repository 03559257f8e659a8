"""Options of the test run."""

from __future__ import annotations

import os
from collections import Counter

import hypothesis
import pytest

# How fast a machine draws examples is no property of the program.
hypothesis.settings.register_profile("headrace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# The long run of the fuzz tests, `--hypothesis-profile=fuzz`; they alone look at its name.
hypothesis.settings.register_profile("fuzz", hypothesis.settings.get_profile("headrace"))
hypothesis.settings.load_profile("headrace")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write anew what the cases expect (never in CI); read every line of the difference before you keep it",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--update-golden is for people who read what it wrote, not for CI")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the fuzz tests did, all shards together."""
    counts: Counter[str] = Counter()
    reports = [r for found in terminalreporter.stats.values() for r in found if getattr(r, "when", "") == "teardown"]
    for report in reports:
        counts.update({name: int(str(n)) for name, n in report.user_properties if name.startswith("fuzz:")})
    for name, number in sorted(counts.items()):
        terminalreporter.write_line(f"fuzz: {number} {name.removeprefix('fuzz:')}")
