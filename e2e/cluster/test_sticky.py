"""Clients stay at their pods, whichever replica they meet; of a pod that goes away only its own clients move."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from controller.tests.live.objects import ingress
from e2e.cluster.apps import App, apply, deploy
from e2e.cluster.ask import Site, echoed, until
from e2e.cluster.fixtures import CLASS
from e2e.cluster.forward import port_forward
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, TWO_REPLICAS, Release, Shared, serving

CLIENTS = 24
STICKY = {"affinity": "cookie", "affinity-mode": "persistent", "session-cookie-max-age": "3600"}


def url_of(namespace: str) -> str:
    """A host of its own for each test: a namespace that is on its way out still owns its hosts."""
    return f"http://{namespace}.sticky.test/"


def sticky_app(cluster: Cluster, namespace: str, replicas: int) -> App:
    app = deploy(cluster, namespace, "sticky", replicas=replicas)
    rule = (f"{namespace}.sticky.test", "/", "Prefix", "sticky")
    apply(cluster, namespace, ingress("sticky", rule, annotations=STICKY, ingressClassName=CLASS))
    return app.ready()


def greeted(site: Site, url: str, pods: int) -> dict[str, str]:
    """Cookies of new clients, each with the pod that served it, once all pods are known."""
    until(lambda: len({site.pod(url) for _ in range(4 * pods)}) == pods, 15, f"{pods} pods answer")
    homes = {}
    for number in range(CLIENTS):
        answer = site.get(url)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        homes[f"{cookie}; client={number}"] = str(echoed(answer)["pod"])
    return homes


def homes_of(site: Site, url: str, clients: dict[str, str]) -> dict[str, str]:
    answers = {client: site.get(url, headers={"Cookie": client}) for client in clients}
    assert {answer.status for answer in answers.values()} == {200}
    return {client: str(echoed(answer)["pod"]) for client, answer in answers.items()}


def settled_reloads(release: Release, controller: str) -> float:
    """Reloads so far, once those that earlier tests caused are over."""
    seen = [-1.0]

    def steady() -> bool:
        seen.append(release.metric(controller, "headrace_reloads_total"))
        return seen[-1] == seen[-2]

    until(steady, 60, "no more reloads", pause=3)
    return seen[-1]


def test_only_clients_of_a_pod_that_goes_away_move(cluster: Cluster, shared: Shared, namespace: str) -> None:
    release = shared.get(HOST_PORT)
    app = sticky_app(cluster, namespace, 3)
    url = url_of(namespace)
    serving(release, url)
    homes = greeted(release.site, url, 3)
    assert len(set(homes.values())) == 3
    assert homes_of(release.site, url, homes) == homes
    (controller,) = release.pod_names()
    reloads = settled_reloads(release, controller)

    leaving = sorted(set(homes.values()))[0]
    app.kubectl("delete", "pod", leaving, "--wait=false")
    until(lambda: leaving not in homes_of(release.site, url, homes).values(), 20, "its clients move")
    app.ready()
    after = homes_of(release.site, url, homes)
    stayed = {client: home for client, home in homes.items() if home != leaving}
    assert {client: after[client] for client in stayed} == stayed
    assert release.metric(controller, "headrace_reloads_total") == reloads


def test_scaling_up_moves_nobody(cluster: Cluster, shared: Shared, namespace: str) -> None:
    release = shared.get(HOST_PORT)
    app = sticky_app(cluster, namespace, 2)
    url = url_of(namespace)
    serving(release, url)
    homes = greeted(release.site, url, 2)
    app.scale(4)
    app.ready()
    until(lambda: len({release.site.pod(url) for _ in range(16)}) == 4, 15, "new clients reach the new pods")
    assert homes_of(release.site, url, homes) == homes


def test_both_replicas_of_the_controller_know_the_pod(cluster: Cluster, shared: Shared, namespace: str) -> None:
    release = shared.get(TWO_REPLICAS)
    sticky_app(cluster, namespace, 3)
    url = url_of(namespace)
    serving(release, url)
    with ExitStack() as forwards:
        first, second = (
            Site("127.0.0.1", forwards.enter_context(port_forward(release, "http", pod=name))[0])
            for name in release.pod_names()
        )
        for ours, theirs in ((first, second), (second, first)):
            homes = greeted(ours, url, 3)
            until(partial(theirs.status, url))
            assert homes_of(theirs, url, homes) == homes
