"""A canary release: by header, by share, with clients that stay, and back again when its pods are gone."""

from __future__ import annotations

from controller.tests.live.cookies import likely
from controller.tests.live.objects import Object, ingress
from e2e.cluster.apps import apply, delete, deploy
from e2e.cluster.ask import Site, echoed, until
from e2e.cluster.fixtures import CLASS
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, Shared, serving

HOST = "canary.test"
URL = f"http://{HOST}/"
ASKED = 200


def routed(name: str, service: str, **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (HOST, "/", "Prefix", service), annotations=written, ingressClassName=CLASS)


def version(site: Site, headers: dict[str, str] | None = None) -> str:
    """`stable` or `next`: whose pod answers."""
    answer = site.get(URL, headers=headers)
    assert answer.status == 200, answer.status
    return str(echoed(answer)["pod"]).partition("-")[0]


def share(site: Site) -> int:
    return sum(version(site) == "next" for _ in range(ASKED))


def test_a_canary_release(cluster: Cluster, shared: Shared, namespace: str) -> None:
    release = shared.get(HOST_PORT)
    stable = deploy(cluster, namespace, "stable", replicas=2)
    following = deploy(cluster, namespace, "next")
    apply(cluster, namespace, routed("stable", "stable"))
    stable.ready()
    following.ready()
    serving(release, URL)
    assert share(release.site) == 0

    testers = {"canary": "true", "canary_by_header": "X-Canary"}
    apply(cluster, namespace, routed("next", "next", **testers))
    until(lambda: version(release.site, {"X-Canary": "always"}) == "next", 15, "testers get the canary")
    assert share(release.site) == 0, "nobody else does"

    apply(cluster, namespace, routed("next", "next", **testers, canary_weight="30"))
    until(lambda: any(version(release.site) == "next" for _ in range(30)), 15, "a share of all")
    assert likely(share(release.site), ASKED, 0.3)
    assert {version(release.site, {"X-Canary": "never"}) for _ in range(20)} == {"stable"}

    following.scale(0)
    until(lambda: not following.addresses(), 30, "the canary has pods")
    until(lambda: version(release.site, {"X-Canary": "always"}) == "stable", 10, "stable answers for it")
    assert share(release.site) == 0
    following.scale(1)
    following.ready()
    until(lambda: version(release.site, {"X-Canary": "always"}) == "next", 10, "the canary is back")

    delete(cluster, namespace, "ingress/next")
    until(lambda: version(release.site, {"X-Canary": "always"}) == "stable", 15, "the canary is over")


def test_clients_stay_with_the_version_they_met_first(cluster: Cluster, shared: Shared, namespace: str) -> None:
    release = shared.get(HOST_PORT)
    apps = [deploy(cluster, namespace, name) for name in ("stable", "next")]
    halved = {"canary": "true", "canary_weight": "50", "canary_by_header": "X-Canary"}
    apply(cluster, namespace, routed("stable", "stable", affinity="cookie"), routed("next", "next", **halved))
    for app in apps:
        app.ready()
    serving(release, URL)
    until(lambda: version(release.site, {"X-Canary": "always"}) == "next", 15, "the canary answers")
    for _ in range(10):
        answer = release.site.get(URL)
        met = str(echoed(answer)["pod"]).partition("-")[0]
        cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        asked = [version(release.site, cookie | {"X-Canary": wanted}) for wanted in ("always", "never", "x")]
        assert asked == [met] * 3
