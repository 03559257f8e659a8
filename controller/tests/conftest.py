"""Options of the test run."""

from __future__ import annotations

import os

import hypothesis
import pytest

# How fast a machine draws examples is no property of the program.
hypothesis.settings.register_profile("headrace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
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
