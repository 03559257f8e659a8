"""A canary release: by header, by share, with clients that stay, and back again when its pods are gone."""

from __future__ import annotations

from controller.tests.live.cookies import likely
from controller.tests.live.objects import Object, ingress
from e2e.cluster.apps import apply, delete, deploy
from e2e.cluster.ask import Site, echoed, until
from e2e.cluster.fixtures import CLASS
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, Shared, serving

ASKED = 200


def host_of(namespace: str) -> str:
    """Of its own for each test: a namespace that is on its way out still owns its hosts."""
    return f"{namespace}.canary.test"


def routed(host: str, name: str, service: str, **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (host, "/", "Prefix", service), annotations=written, ingressClassName=CLASS)


def version(site: Site, host: str, headers: dict[str, str] | None = None) -> str:
    """`stable` or `next`: whose pod answers."""
    answer = site.get(f"http://{host}/", headers=headers)
    assert answer.status == 200, answer.status
    return str(echoed(answer)["pod"]).partition("-")[0]


def share(site: Site, host: str) -> int:
    return sum(version(site, host) == "next" for _ in range(ASKED))


def test_a_canary_release(cluster: Cluster, shared: Shared, namespace: str) -> None:
    release, host = shared.get(HOST_PORT), host_of(namespace)
    stable = deploy(cluster, namespace, "stable", replicas=2)
    following = deploy(cluster, namespace, "next")
    apply(cluster, namespace, routed(host, "stable", "stable"))
    stable.ready()
    following.ready()
    serving(release, f"http://{host}/")
    assert share(release.site, host) == 0

    testers = {"canary": "true", "canary_by_header": "X-Canary"}
    apply(cluster, namespace, routed(host, "next", "next", **testers))
    until(lambda: version(release.site, host, {"X-Canary": "always"}) == "next", 15, "testers get the canary")
    assert share(release.site, host) == 0, "nobody else does"

    apply(cluster, namespace, routed(host, "next", "next", **testers, canary_weight="30"))
    until(lambda: any(version(release.site, host) == "next" for _ in range(30)), 15, "a share of all")
    assert likely(share(release.site, host), ASKED, 0.3)
    assert {version(release.site, host, {"X-Canary": "never"}) for _ in range(20)} == {"stable"}

    following.scale(0)
    until(lambda: not following.addresses(), 30, "the canary has pods")
    until(lambda: version(release.site, host, {"X-Canary": "always"}) == "stable", 10, "stable answers for it")
    assert share(release.site, host) == 0
    following.scale(1)
    following.ready()
    until(lambda: version(release.site, host, {"X-Canary": "always"}) == "next", 10, "the canary is back")

    delete(cluster, namespace, "ingress/next")
    until(lambda: version(release.site, host, {"X-Canary": "always"}) == "stable", 15, "the canary is over")


def test_clients_stay_with_the_version_they_met_first(cluster: Cluster, shared: Shared, namespace: str) -> None:
    release, host = shared.get(HOST_PORT), host_of(namespace)
    apps = [deploy(cluster, namespace, name) for name in ("stable", "next")]
    halved = {"canary": "true", "canary_weight": "50", "canary_by_header": "X-Canary"}
    apply(
        cluster, namespace, routed(host, "stable", "stable", affinity="cookie"), routed(host, "next", "next", **halved)
    )
    for app in apps:
        app.ready()
    serving(release, f"http://{host}/")
    until(lambda: version(release.site, host, {"X-Canary": "always"}) == "next", 15, "the canary answers")
    for _ in range(10):
        answer = release.site.get(f"http://{host}/")
        met = str(echoed(answer)["pod"]).partition("-")[0]
        cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        asked = [version(release.site, host, cookie | {"X-Canary": wanted}) for wanted in ("always", "never", "x")]
        assert asked == [met] * 3
