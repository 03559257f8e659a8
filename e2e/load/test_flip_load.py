"""The same tests as in `make test`, for as long as it takes to meet what happens once a minute."""

from __future__ import annotations

import os

import pytest

from controller.tests.live.conftest import backends, run
from controller.tests.live.test_flip_load import (
    test_a_single_pod_exits_the_moment_it_is_withdrawn,
    test_one_of_two_pods_is_blackholed,
)

__all__ = [
    "backends",
    "run",
    "test_a_single_pod_exits_the_moment_it_is_withdrawn",
    "test_one_of_two_pods_is_blackholed",
]


@pytest.fixture(autouse=True)
def for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_LOAD_SECONDS", os.environ.get("HEADRACE_LOAD_SECONDS", "60"))
