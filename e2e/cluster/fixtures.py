"""What the tests on pods share: one application, one release at a time. conftest.py takes these in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.tests.live.objects import ingress
from e2e.cluster.apps import App, apply, deploy, end_namespace, fresh_namespace
from e2e.cluster.provider import Cluster
from e2e.cluster.release import Shared

CLASS = "headrace"
ECHO = "echo.test"


@pytest.fixture(scope="session")
def shared(cluster: Cluster) -> Iterator[Shared]:
    """`shared.get(spec)` is the installed release of this kind."""
    releases = Shared(cluster)
    yield releases
    releases.end(remove=True)


@pytest.fixture(scope="session")
def echo(cluster: Cluster) -> Iterator[App]:
    """An application of two pods, at http://echo.test/ and https://echo.test/ of class `headrace`."""
    namespace = "e2e-echo"
    fresh_namespace(cluster, namespace)
    app = deploy(cluster, namespace, "echo", replicas=2)
    apply(cluster, namespace, ingress("echo", (ECHO, "/", "Prefix", "echo"), ingressClassName=CLASS))
    yield app.ready()
    end_namespace(cluster, namespace)
