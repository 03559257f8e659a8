"""Fixtures of the live tests: backends for a module, and a way to run the controller over a set of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.headrace import Headrace

Run = Callable[..., Headrace]


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with Backends() as running:
        yield running


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`run(*objects, flags=(...))` starts a controller that ends with the module."""
    with ExitStack() as stack:

        def start(*objects: dict[str, Any], flags: tuple[str, ...] = (), **settings: Any) -> Headrace:
            directory: Path = tmp_path_factory.mktemp("headrace")
            manifests = directory / "manifests"
            manifests.mkdir()
            headrace = Headrace(directory, manifests, ("--reload-interval", "0", *flags), **settings)
            headrace.write("objects.yaml", *objects)
            return stack.enter_context(headrace)

        yield start
