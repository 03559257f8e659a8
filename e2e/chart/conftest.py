"""A control plane for what the chart renders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.controlplane.cluster import ControlPlane


@pytest.fixture(scope="package")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("chart")) as running:
        yield running
