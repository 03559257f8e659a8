"""Applications come and go under load of kept connections, and no client notices."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from controller.tests.live.objects import ingress
from e2e.cluster.app.client import Tally
from e2e.cluster.apps import DRAIN, EXIT_AT_ONCE, App, apply, deploy
from e2e.cluster.ask import Site, took, until
from e2e.cluster.fixtures import CLASS
from e2e.cluster.load import Running
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, Shared

ENOUGH = 20_000


@pytest.fixture
def site(shared: Shared) -> Site:
    return shared.get(HOST_PORT).site


def serve(cluster: Cluster, namespace: str, host: str, *, replicas: int, args: Sequence[str] = EXIT_AT_ONCE) -> App:
    app = deploy(cluster, namespace, "shop", replicas=replicas, args=args)
    apply(cluster, namespace, ingress("shop", (host, "/", "Prefix", "shop"), ingressClassName=CLASS))
    return app.ready()


def unharmed(tally: Tally, what: str) -> None:
    print(f"\n{what}: {tally}")
    assert not tally.failures, tally.told()


@pytest.mark.parametrize(
    ("args", "posts"),
    [
        # What a pod has received of a POST when it exits is lost with it, and nobody may send it again.
        pytest.param(EXIT_AT_ONCE, False, id="exits at once"),
        pytest.param(DRAIN, True, id="drains"),
    ],
)
def test_rolling_update(cluster: Cluster, site: Site, namespace: str, args: Sequence[str], posts: bool) -> None:
    host = f"rolling{args[0]}.test"
    app = serve(cluster, namespace, host, replicas=5, args=args)
    until(lambda: site.status(f"http://{host}/") == 200)
    before = {pod["metadata"]["name"] for pod in app.pods()}
    with Running(site.place(host), at_least=ENOUGH, posts=posts) as load:
        until(lambda: load.tally.sent > 500)
        app.restart()
        app.ready()
        print(f"\nrolled out by {load.seconds():.1f} s")
    assert load.tally.sent >= ENOUGH
    after = {pod["metadata"]["name"] for pod in app.pods()}
    assert not before & after
    unharmed(load.tally, f"rolling update, {args[0]}")
    assert after <= load.tally.pods.keys(), "a new pod got no request"


def test_scale_from_one_to_thirty_and_back(cluster: Cluster, site: Site, namespace: str) -> None:
    app = serve(cluster, namespace, "scale.test", replicas=1)
    until(lambda: site.status("http://scale.test/") == 200)
    with Running(site.place("scale.test"), clients=4, pause=0.01, posts=False) as load:
        app.scale(30)
        app.ready(120)
        up = load.seconds()
        # Each pod is asked soon, not only those that nginx knew first.
        until(lambda: len(load.tally.pods) == 30, 15, "some pods got no request")
        app.scale(1)
        until(lambda: len(app.addresses()) == 1, 30)
        until(lambda: load.seconds() > up + 5, 30)
    unharmed(load.tally, f"1 -> 30 (ready at {up:.1f} s) -> 1")


def test_a_service_goes_to_zero_and_comes_back(cluster: Cluster, site: Site, namespace: str) -> None:
    app = serve(cluster, namespace, "zero.test", replicas=1)
    until(lambda: site.status("http://zero.test/") == 200)
    app.scale(0)
    away = took(lambda: site.status("http://zero.test/") == 503)
    app.scale(1)
    back = took(lambda: site.status("http://zero.test/") == 200, 30)
    print(f"\nto zero: 503 after {away:.1f} s; back: 200 after {back:.1f} s")
