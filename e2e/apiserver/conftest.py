"""What the tests here share: one control plane for the session, a fresh namespace for each test.

From the first use of `network` to the end of this package the tests are in a network namespace of
their own: nothing outside of this machine, nor any other process on it, can be reached.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.controlplane import build
from e2e.controlplane.backends import Backends
from e2e.controlplane.cluster import ControlPlane
from e2e.controlplane.network import PrivateNetwork

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def network() -> Iterator[PrivateNetwork]:
    """The private network, entered when everything that needs the outside has been fetched."""
    build.binaries()
    with PrivateNetwork() as private:
        yield private


@pytest.fixture(scope="package")
def control_plane(network: PrivateNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane. A test that stops the API server starts it again."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """The name of a new namespace with its default ServiceAccount; deleted after the test."""
    name = f"e2e-{next(_numbers)}"
    control_plane.kubectl("create", "namespace", name)
    account = "serviceaccount/default"
    control_plane.kubectl("wait", "--for=create", account, f"--namespace={name}", "--timeout=30s")
    yield name
    # Now, and not some seconds into the next test, which may count reloads.
    control_plane.kubectl("delete", "ingress", "--all", f"--namespace={name}")
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def backends(network: PrivateNetwork, tmp_path: Path) -> Iterator[Backends]:
    """Backends that end with the test."""
    with Backends(network, tmp_path) as started:
        yield started
