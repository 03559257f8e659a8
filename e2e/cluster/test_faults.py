"""What breaks around the controller, and the controller itself: traffic goes on, or comes back in seconds."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress

import pytest

from controller.tests.live.objects import ingress
from e2e.cluster.app.client import Tally
from e2e.cluster.apps import App, apply, deploy
from e2e.cluster.ask import took, until
from e2e.cluster.fixtures import CLASS, ECHO
from e2e.cluster.load import Running
from e2e.cluster.provider import CommandFailed, LocalCluster
from e2e.cluster.release import HOST_PORT, TWO_REPLICAS, Release, Shared, serving

BACK_AFTER_KILL = 10.0
"""Seconds until a killed pod that is alone on its ports answers again: the kubelet has to see it and start it anew."""

GAP_WITH_TWO = 5.0
"""Seconds in which connections may still be led to a killed replica, until its readiness has been taken away."""

QUICK_LEASE = TWO_REPLICAS.with_("controller.extraArgs.election-ttl=5s")


@pytest.fixture
def two(shared: Shared, echo: App) -> Release:
    release = shared.get(QUICK_LEASE)
    serving(release, f"http://{ECHO}/")
    return release


def kill(cluster: LocalCluster, release: Release, pod: str) -> None:
    """The container dies as in an out-of-memory kill: all of its processes at once, none can clean up."""
    for pid in cluster.container_pids(release.namespace, pod):
        # With process 1 of the container go all others.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def evict(release: Release, pod: str) -> None:
    """As `kubectl drain` does. Raises when a disruption budget forbids it."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": release.namespace}}
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    release.kubectl("create", "--raw", path, "--filename=-", input=json.dumps(body))


def leader(release: Release) -> str:
    """The name of the pod that holds the Lease."""
    listed = json.loads(release.kubectl("get", "leases", "--output=json"))["items"]
    holders = [str(lease["spec"].get("holderIdentity") or "") for lease in listed]
    return next((pod for pod in release.pod_names() for holder in holders if holder.startswith(pod)), "")


def span_of_failures(tally: Tally) -> float:
    """Seconds between the first and the last failure."""
    times = [float(words.split()[1]) for words in tally.failures]
    return max(times) - min(times) if times else 0.0


def test_kill_of_one_of_two_replicas(local_cluster: LocalCluster, two: Release) -> None:
    victim = two.pod_names()[0]
    with Running(two.site.place(ECHO), posts=False, clients=4) as load:
        until(lambda: load.tally.sent > 300)
        kill(local_cluster, two, victim)
        until(lambda: restarts(two, victim) > 0, 30)
        two.ready()
        time.sleep(2)
    print(f"\none of two killed: {load.tally}; failures over {span_of_failures(load.tally):.1f} s")
    assert span_of_failures(load.tally) < GAP_WITH_TWO, load.tally.told()


def restarts(release: Release, pod: str) -> int:
    found = next(each for each in release.pods() if each["metadata"]["name"] == pod)
    return sum(int(status["restartCount"]) for status in found["status"]["containerStatuses"])


def test_the_leader_is_lost(two: Release, namespace: str) -> None:
    first = until(lambda: leader(two), 20, "nobody leads")
    two.kubectl("delete", "pod", first, "--grace-period=0", "--force")
    seconds = took(lambda: leader(two) not in ("", first), 30)
    apply(two.cluster, namespace, ingress("after", ("after.test", "/", "Prefix", "none"), ingressClassName=CLASS))

    def status() -> str:
        return two.cluster.kubectl(
            "get", "ingress", "after", "--namespace", namespace, "--output=jsonpath={.status.loadBalancer.ingress}"
        )

    written = took(status, 30)
    print(f"\nleader lost: the next one after {seconds:.1f} s; status written {written:.1f} s after the Ingress")
    two.ready()


def test_eviction_respects_the_budget(two: Release) -> None:
    """One of two may go, and goes unnoticed; the other may not until the first is replaced."""
    first, second = two.pod_names()
    with Running(two.site.place(ECHO), clients=4) as load:
        until(lambda: load.tally.sent > 300)
        evict(two, first)
        with pytest.raises(CommandFailed, match="disruption budget"):
            evict(two, second)
        until(lambda: first not in two.kubectl("get", "pods", "--output=name"), 60)
        two.ready()
    print(f"\neviction: {load.tally}")
    assert not load.tally.failures, load.tally.told()


def test_the_api_server_restarts(local_cluster: LocalCluster, two: Release, namespace: str) -> None:
    app = deploy(two.cluster, namespace, "late").ready()
    with Running(two.site.place(ECHO)) as load:
        until(lambda: load.tally.sent > 300)
        local_cluster.restart_apiserver()
        up = load.seconds()
        apply(two.cluster, namespace, ingress("late", ("late.test", "/", "Prefix", "late"), ingressClassName=CLASS))
        until(lambda: two.site.status("http://late.test/") == 200, 45, "changes after the restart")
        seconds = load.seconds() - up
    print(f"\nAPI server restarted: {load.tally}; a change after it is served within {seconds:.1f} s")
    assert app.addresses()
    assert not load.tally.failures, load.tally.told()


def test_kill_of_the_pod_on_host_ports(local_cluster: LocalCluster, shared: Shared, echo: App) -> None:
    release = shared.get(HOST_PORT)
    serving(release, f"http://{ECHO}/")
    site, (pod,) = release.site, release.pod_names()
    kill(local_cluster, release, pod)
    with pytest.raises((OSError, EOFError)):
        site.get(f"http://{ECHO}/")
    seconds = took(lambda: site.status(f"http://{ECHO}/") == 200, 60)
    print(f"\nkilled: answers again after {seconds:.1f} s")
    release.ready()
    assert release.pod_names() == [pod], "the container is started anew, the pod stays"
    assert seconds <= BACK_AFTER_KILL
