"""Fixtures of the torture suite. Continuous integration leaves out what is marked `long`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.torture.world import World, open_directory, running_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One controller for all tests of a module; each leaves it as it found it."""
    with open_directory() as directory, running_world(directory) as running:
        yield running


@pytest.fixture
def own_world() -> Iterator[World]:
    """A controller of this test alone."""
    with open_directory() as directory, running_world(directory) as running:
        yield running
