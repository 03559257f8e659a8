"""The controller itself is replaced under load of kept connections, and no client notices."""

from __future__ import annotations

from e2e.cluster.apps import App
from e2e.cluster.ask import until
from e2e.cluster.fixtures import ECHO
from e2e.cluster.load import Running
from e2e.cluster.release import TWO_REPLICAS, Shared, serving

ENOUGH = 20_000


def test_upgrade_of_the_release(shared: Shared, echo: App) -> None:
    """Two replicas behind a Service, reached through kube-proxy: old pods drain, new ones take over."""
    release = shared.get(TWO_REPLICAS)
    serving(release, f"http://{ECHO}/")
    before = set(release.pod_names())
    with Running(release.site.place(ECHO), at_least=ENOUGH) as load:
        until(lambda: load.tally.sent > 500)
        release.upgrade("controller.podAnnotations.e2e=upgraded")
        rolled_out = load.seconds()
        until(lambda: not before & alive(release.kubectl("get", "pods", "--output=name")), 90, "old pods stay")
        drained = load.seconds()
    print(f"\nupgrade: {load.tally}; rolled out at {rolled_out:.1f} s, the last old pod ended at {drained:.1f} s")
    assert len(before) == 2
    assert load.tally.sent >= ENOUGH
    assert not load.tally.failures, load.tally.told()


def alive(listed: str) -> set[str]:
    """Names of pods, those on their way out included."""
    return {line.removeprefix("pod/") for line in listed.split()}
