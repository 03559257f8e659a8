"""The cluster under the tests: one for the session, a fresh namespace for each test that asks for one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import cast

import pytest

from e2e.cluster import existing, kind
from e2e.cluster.apps import end_namespace
from e2e.cluster.fixtures import echo, shared
from e2e.cluster.local import provider as local
from e2e.cluster.provider import Cluster, LocalCluster, chosen_provider

__all__ = ["echo", "shared"]

_PROVIDERS: Mapping[str, Callable[[], AbstractContextManager[Cluster]]] = {
    "local": local.cluster,
    "kind": kind.cluster,
    "existing": existing.cluster,
}
_numbers = itertools.count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the chosen provider cannot do."""
    if chosen_provider() == "local":
        return
    out = [item for item in items if "local_cluster" in getattr(item, "fixturenames", ())]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that `HEADRACE_E2E_PROVIDER` names."""
    with _PROVIDERS[chosen_provider()]() as running:
        yield running


@pytest.fixture(scope="session")
def local_cluster(cluster: Cluster) -> LocalCluster:
    """The same, for tests that need a node on this machine; without one they are left out."""
    return cast(LocalCluster, cluster)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """The name of a new namespace with its default ServiceAccount; gone after the test, with all that was in it."""
    name = f"e2e-{os.getpid()}-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    account = "serviceaccount/default"
    cluster.kubectl("wait", "--for=create", account, f"--namespace={name}", "--timeout=30s")
    yield name
    end_namespace(cluster, name)
