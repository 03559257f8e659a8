"""Clients that stay at their pods: what the cookie says, when it is given, and who moves when pods come and go."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.cookies import codes, cookie_of, given, pods, route, tally
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, ingress, service, slice_of

CHROME_51 = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/51.0.2704.103 Safari/537.36"
CHROME_120 = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
IPHONE_12 = "Mozilla/5.0 (iPhone; CPU iPhone OS 12_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604"
IPHONE_17 = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604"
SAFARI_ON_MOJAVE = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Safari/605"
)
CHROME_ON_MOJAVE = CHROME_120.replace("X11; Linux x86_64", "Macintosh; Intel Mac OS X 10_14_6")
USUAL = {"path": "/", "httponly": ""}
NONE = {"session_cookie_samesite": "None"}
CAPABLE = NONE | {"session_cookie_conditional_samesite_none": "true"}


@dataclass(frozen=True)
class Case:
    """Annotations of an Ingress with a cookie, and what a new client gets of it; Expires is shown by another test."""

    name: str
    annotations: dict[str, str]
    attributes: dict[str, str]
    scheme: str = "http"
    agent: str = "curl"
    cookie: str = "INGRESSCOOKIE"
    told: list[str] = field(default_factory=list)
    path: str = "/"
    kind: str = "Prefix"
    asked: str = "/"

    def __str__(self) -> str:
        return self.name


INVALID = ["annotation-invalid"]
CASES = [
    Case("plain", {}, USUAL),
    Case("over-tls", {}, USUAL | {"secure": ""}, "https"),
    Case("secure", {"session_cookie_secure": "true"}, USUAL | {"secure": ""}),
    Case("secure-tls", {"session_cookie_secure": "true"}, USUAL | {"secure": ""}, "https"),
    Case("not-secure", {"session_cookie_secure": "false"}, USUAL),
    Case("not-secure-tls", {"session_cookie_secure": "false"}, USUAL | {"secure": ""}, "https"),
    Case("odd-secure", {"session_cookie_secure": "yes"}, USUAL, told=INVALID),
    Case("name", {"session_cookie_name": "route"}, USUAL, cookie="route"),
    Case("name-hyphen", {"session_cookie_name": "my-session.id~1"}, USUAL, cookie="my-session.id~1"),
    Case("name-odd", {"session_cookie_name": "a; Domain=evil.example.org"}, USUAL, told=INVALID),
    Case("name-equals", {"session_cookie_name": "a=b"}, USUAL, told=INVALID),
    Case("name-colon", {"session_cookie_name": "a:b"}, USUAL, told=INVALID),
    Case("name-long", {"session_cookie_name": "n" * 65}, USUAL, told=INVALID),
    Case("of-path", {}, USUAL | {"path": "/shop"}, path="/shop/", asked="/shop/cart"),
    Case("of-exact", {}, USUAL | {"path": "/one"}, path="/one", kind="Exact", asked="/one"),
    Case("of-accents", {}, USUAL | {"path": "/caf%C3%A9"}, path="/café", asked="/caf%C3%A9/x"),
    Case("of-regex", {"use_regex": "true"}, USUAL, path="/v[0-9]+", kind="ImplementationSpecific", asked="/v1"),
    Case("path", {"session_cookie_path": "/shared"}, USUAL | {"path": "/shared"}, path="/x", asked="/x"),
    Case("path-odd", {"session_cookie_path": "/; Secure"}, USUAL | {"path": "/x"}, path="/x", asked="/x", told=INVALID),
    Case("path-comma", {"session_cookie_path": "/a,b"}, USUAL, told=INVALID),
    Case("path-bare", {"session_cookie_path": "x"}, USUAL, told=INVALID),
    Case("domain", {"session_cookie_domain": "domain.test"}, USUAL | {"domain": "domain.test"}),
    Case("domain-dot", {"session_cookie_domain": ".domain.test"}, USUAL | {"domain": ".domain.test"}),
    Case("domain-odd", {"session_cookie_domain": ".com;x"}, USUAL, told=INVALID),
    Case("age", {"session_cookie_max_age": "3600"}, USUAL | {"max-age": "3600"}),
    Case("expires", {"session_cookie_expires": "172800"}, USUAL | {"max-age": "172800"}),
    Case("both", {"session_cookie_expires": "10", "session_cookie_max_age": "20"}, USUAL | {"max-age": "20"}),
    Case("age-zero", {"session_cookie_max_age": "0"}, USUAL | {"max-age": "0"}),
    Case("age-negative", {"session_cookie_max_age": "-5"}, USUAL | {"max-age": "0"}),
    Case("age-odd", {"session_cookie_max_age": "x5"}, USUAL, told=INVALID),
    Case("age-huge", {"session_cookie_max_age": "99999999999999999999"}, USUAL, told=INVALID),
    Case("expires-odd", {"session_cookie_expires": "1h;return 418"}, USUAL, told=INVALID),
    Case("lax", {"session_cookie_samesite": "Lax"}, USUAL | {"samesite": "Lax"}),
    Case("strict", {"session_cookie_samesite": "Strict"}, USUAL | {"samesite": "Strict"}),
    Case("small-lax", {"session_cookie_samesite": "lax"}, USUAL | {"samesite": "lax"}),
    Case("none", NONE, USUAL | {"samesite": "None"}),
    Case("none-old", NONE, USUAL | {"samesite": "None"}, agent=CHROME_51),
    Case("same-site-odd", {"session_cookie_samesite": "None; Path=/"}, USUAL, told=INVALID),
    Case("capable", CAPABLE, USUAL | {"samesite": "None"}, agent=CHROME_120),
    Case("capable-no-agent", CAPABLE, USUAL | {"samesite": "None"}, agent=""),
    Case("capable-old", CAPABLE, USUAL, agent=CHROME_51),
    Case("capable-12", CAPABLE, USUAL, agent=IPHONE_12),
    Case("capable-17", CAPABLE, USUAL | {"samesite": "None"}, agent=IPHONE_17),
    Case("capable-mojave", CAPABLE, USUAL, agent=SAFARI_ON_MOJAVE),
    Case("capable-mojave-chrome", CAPABLE, USUAL | {"samesite": "None"}, agent=CHROME_ON_MOJAVE),
    Case("capable-lax", CAPABLE | {"session_cookie_samesite": "Lax"}, USUAL | {"samesite": "Lax"}, agent=CHROME_51),
    Case("capable-small", CAPABLE | {"session_cookie_samesite": "none"}, USUAL | {"samesite": "none"}, agent=CHROME_51),
    Case(
        "everything",
        {
            "session_cookie_name": "all",
            "session_cookie_path": "/all",
            "session_cookie_domain": "everything.test",
            "session_cookie_max_age": "60",
            "session_cookie_secure": "true",
            "session_cookie_samesite": "Strict",
        },
        USUAL | {"path": "/all", "domain": "everything.test", "max-age": "60", "secure": "", "samesite": "Strict"},
        cookie="all",
    ),
]  # fmt: skip

STICKING = {
    "usual": {},
    "balanced": {"affinity_mode": "balanced"},
    "persistent": {"affinity_mode": "persistent"},
    "odd-mode": {"affinity_mode": "sometimes"},
    "hyphen": {"session_cookie_name": "my-session"},
    "hashed": {"upstream_hash_by": "$request_uri"},
    "quick": {"load_balance": "ewma"},
    "renewed": {"session_cookie_change_on_failure": "true"},
    "not-renewed": {"session_cookie_change_on_failure": "false"},
}
TYPES = {"by-method": "sticky_persistent", "by-other-method": "sticky_balanced"}


def sticky(name: str, backend: str = "web", path: str = "/", kind: str = "Prefix", **annotations: str) -> Object:
    return route(name, backend, path=path, kind=kind, affinity="cookie", **annotations)


@pytest.fixture(scope="module")
def web(backends: Backends) -> tuple[Backend, ...]:
    return pods(backends, "web", 2, 3, 4)


@pytest.fixture(scope="module")
def objects(web: tuple[Backend, ...], backends: Backends) -> list[Object]:
    two = ingress("two", ("two.test", "/a", "Prefix", "web"), ("two.test", "/b", "Prefix", "web"),
                  annotations={"nginx.ingress.kubernetes.io/affinity": "cookie"})  # fmt: skip
    wild = ingress("wild", ("*.wild.test", "/", "Prefix", "web"), ("", "/hostless", "Prefix", "web"),
                   annotations={"affinity": "cookie"})  # fmt: skip
    named = ingress("named", ("named.test", "/", "Prefix", "web"),
                    annotations={"affinity": "cookie", "server-alias": "alias.test"})  # fmt: skip
    return [
        *app("web", *web),
        *(sticky(f"case-{c.name}", path=c.path, kind=c.kind, **c.annotations) for c in CASES),
        *(sticky(f"stick-{name}", **annotations) for name, annotations in STICKING.items()),
        *(route(name, "web", load_balance=method) for name, method in TYPES.items()),
        route("free", "web"),
        route("odd", "web", affinity="Cookie"),
        route("only-name", "web", session_cookie_name="lonely"),
        two,
        wild,
        named,
        sticky("closed", allowlist_source_range="not a network"),
        sticky("empty", "nobody"),
        service("nobody"),
        slice_of("nobody"),
    ]


@pytest.fixture(scope="module")
def headrace(run: Run, objects: list[Object]) -> Headrace:
    return run(*objects)


@pytest.fixture(scope="module")
def replica(run: Run, objects: list[Object]) -> Headrace:
    """Another controller with an nginx of its own, for the same objects."""
    return run(*objects)


# -- what the cookie says


@pytest.mark.shows(
    "affinity", "session-cookie-name", "session-cookie-path", "session-cookie-domain", "session-cookie-expires",
    "session-cookie-max-age", "session-cookie-secure", "session-cookie-samesite",
    "session-cookie-conditional-samesite-none",
)  # fmt: skip
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_the_cookie_says(headrace: Headrace, case: Case) -> None:
    answer = headrace.get(f"{case.scheme}://case-{case.name}.test{case.asked}", headers={"User-Agent": case.agent})
    cookie = given(answer)
    expires = cookie.attributes.pop("expires", None)
    assert (answer.status, cookie.name, cookie.attributes) == (200, case.cookie, case.attributes)
    assert re.fullmatch("[0-9a-f]{32}", cookie.value)
    assert (expires is None) == ("max-age" not in case.attributes)
    assert codes(headrace, f"case-{case.name}") == case.told


@pytest.mark.shows("session-cookie-expires", "session-cookie-max-age")
@pytest.mark.parametrize(("name", "seconds"), [("age", 3600), ("expires", 172_800), ("both", 20), ("age-zero", 0)])
def test_when_the_cookie_expires(headrace: Headrace, name: str, seconds: int) -> None:
    cookie = given(headrace.get(f"http://case-{name}.test/"))
    assert abs(cookie.lasts - time.time() - seconds) < 5


# -- who gets one, and what it does


@pytest.mark.shows(
    "affinity", "affinity-mode", "session-cookie-name", "load-balance", "session-cookie-change-on-failure"
)
@pytest.mark.parametrize("name", STICKING)
def test_a_client_stays(headrace: Headrace, name: str) -> None:
    first = headrace.get(f"http://stick-{name}.test/")
    cookie = given(first)
    later = [headrace.get(f"http://stick-{name}.test/{n}", headers=cookie.sent) for n in range(12)]
    assert {answer.backend for answer in later} == {first.backend}


@pytest.mark.shows("affinity")
@pytest.mark.parametrize("name", [name for name in STICKING if name != "renewed"])
def test_no_second_cookie(headrace: Headrace, name: str) -> None:
    cookie = given(headrace.get(f"http://stick-{name}.test/"))
    later = [headrace.get(f"http://stick-{name}.test/{n}", headers=cookie.sent) for n in range(3)]
    assert [cookie_of(answer) for answer in later] == [None] * 3


@pytest.mark.shows("affinity-mode")
def test_an_odd_mode_is_told(headrace: Headrace) -> None:
    assert codes(headrace, "stick-odd-mode") == INVALID


@pytest.mark.shows("session-cookie-change-on-failure")
def test_where_the_cookie_may_change_every_answer_has_it(headrace: Headrace) -> None:
    cookie = given(headrace.get("http://stick-renewed.test/"))
    assert given(headrace.get("http://stick-renewed.test/", headers=cookie.sent)).value == cookie.value


@pytest.mark.shows("load-balance")
@pytest.mark.parametrize("name", TYPES)
def test_a_method_that_means_a_cookie(headrace: Headrace, name: str) -> None:
    first = headrace.get(f"http://{name}.test/")
    assert headrace.get(f"http://{name}.test/", headers=given(first).sent).backend == first.backend


@pytest.mark.shows("affinity", "session-cookie-name")
@pytest.mark.parametrize(("name", "told"), [("free", []), ("odd", INVALID), ("only-name", [])])
def test_no_cookie_without_affinity(headrace: Headrace, name: str, told: list[str]) -> None:
    """The Service is one that has sticky clients on other hosts."""
    assert cookie_of(headrace.get(f"http://{name}.test/")) is None
    assert codes(headrace, name) == told


@pytest.mark.shows("affinity")
def test_new_clients_are_spread(headrace: Headrace) -> None:
    found = tally(headrace, "stick-usual.test", 60)
    assert len(found) == 3
    assert min(found.values()) >= 15


GARBAGE = [
    "",
    "x",
    "0" * 31,
    "0" * 33,
    "g" * 32,
    "1700000000.123.45.67890|" + "0" * 32,
    '"' + "0" * 32 + '"',
    "c1234abcd=" + "0" * 32,
]


@pytest.mark.shows("affinity")
@pytest.mark.parametrize("value", GARBAGE)
def test_a_cookie_that_names_no_pod_is_replaced(headrace: Headrace, value: str) -> None:
    answer = headrace.get("http://stick-usual.test/", headers={"Cookie": f"INGRESSCOOKIE={value}"})
    assert (answer.status, given(answer).name) == (200, "INGRESSCOOKIE")


@pytest.mark.shows("affinity", "session-cookie-name")
@pytest.mark.parametrize("name", ["usual", "hyphen"])
@pytest.mark.parametrize("others", ["a=b; {}", "{}; a=b", "xINGRESSCOOKIE=1; xmy-session=2; {}; a=b", "  {}"])
def test_the_cookie_among_others(headrace: Headrace, name: str, others: str) -> None:
    first = headrace.get(f"http://stick-{name}.test/")
    sent = {"Cookie": others.format(given(first).sent["Cookie"])}
    later = [headrace.get(f"http://stick-{name}.test/", headers=sent) for _ in range(6)]
    assert {(answer.backend, cookie_of(answer)) for answer in later} == {(first.backend, None)}


@pytest.mark.shows("affinity")
def test_post_and_tls_stay_too(headrace: Headrace) -> None:
    first = headrace.get("http://stick-usual.test/")
    sent = given(first).sent
    asked = [headrace.get("http://stick-usual.test/", method="POST", body=b"x", headers=sent) for _ in range(5)]
    asked += [headrace.get("https://stick-usual.test/", headers=sent) for _ in range(5)]
    assert {answer.backend for answer in asked} == {first.backend}


@pytest.mark.shows("session-cookie-path")
def test_two_paths_of_one_service_have_two_cookies(headrace: Headrace) -> None:
    assert [given(headrace.get(f"http://two.test/{path}")).attributes["path"] for path in "ab"] == ["/a", "/b"]


@pytest.mark.shows("affinity", "server-alias")
@pytest.mark.parametrize("url", ["http://any.wild.test/", "http://nobody.example/hostless", "http://alias.test/"])
def test_wildcards_aliases_and_rules_without_a_host(headrace: Headrace, url: str) -> None:
    first = headrace.get(url)
    later = [headrace.get(url, headers=given(first).sent) for _ in range(6)]
    assert {answer.backend for answer in later} == {first.backend}


@pytest.mark.shows("affinity")
def test_cookies_of_the_application_are_kept(headrace: Headrace) -> None:
    request = b"GET /?answer=Set-Cookie:%20mine=1 HTTP/1.1\r\nHost: stick-usual.test\r\nConnection: close\r\n\r\n"
    head = headrace.raw(request).split(b"\r\n\r\n")[0]
    names = re.findall(rb"(?mi)^Set-Cookie: ([A-Za-z]+)=", head)
    assert sorted(names) == [b"INGRESSCOOKIE", b"mine"]


@pytest.mark.shows("affinity")
@pytest.mark.parametrize("status", [404, 500, 302])
def test_an_error_of_a_pod_is_the_pods(headrace: Headrace, status: int) -> None:
    first = headrace.get(f"http://stick-usual.test/status/{status}")
    assert first.status == status
    assert headrace.get("http://stick-usual.test/", headers=given(first).sent).status == 200


@pytest.mark.shows("affinity")
@pytest.mark.parametrize(("name", "status"), [("closed", 503), ("empty", 503)])
def test_no_pod_no_success(headrace: Headrace, name: str, status: int) -> None:
    assert headrace.get(f"http://{name}.test/").status == status


# -- replicas


@pytest.mark.shows("affinity", "affinity-mode")
def test_replicas_agree_on_the_pod(headrace: Headrace, replica: Headrace) -> None:
    """Whatever replica a load balancer picks: the cookie of one is understood by the other."""
    for _ in range(15):
        for ours, theirs in ((headrace, replica), (replica, headrace)):
            first = ours.get("http://stick-usual.test/")
            again = theirs.get("http://stick-usual.test/", headers=given(first).sent)
            assert (again.backend, cookie_of(again)) == (first.backend, None)


@pytest.mark.shows("affinity")
def test_replicas_agree_where_the_pod_is_gone(headrace: Headrace, replica: Headrace) -> None:
    homes = set()
    for number in range(30):
        sent = {"Cookie": f"INGRESSCOOKIE={number * 7919:032x}"}
        answers = [each.get("http://stick-usual.test/", headers=sent) for each in (headrace, replica, headrace)]
        assert len({answer.backend for answer in answers}) == 1
        homes.add(answers[0].backend)
    assert len(homes) == 3, "those whose pod is gone are spread over all others"


# -- pods that come and go


@dataclass
class Moving:
    """A Service whose pods change, and clients with cookies."""

    headrace: Headrace
    host: str
    pods: tuple[Backend, ...]
    homes: dict[str, str | None] = field(default_factory=dict)

    def greet(self, clients: int) -> None:
        for _ in range(clients):
            first = self.headrace.get(f"http://{self.host}/")
            self.homes[given(first).sent["Cookie"] + f"; client={len(self.homes)}"] = first.backend

    def at(self, *pods: Backend) -> None:
        """The Service has these pods from now on, and nginx knows."""
        self.headrace.write("moving.yaml", *app("moving", *pods))
        names = {pod.name for pod in pods}
        self.headrace.until(
            lambda: set(tally(self.headrace, "probe.test", 12)) == names, message=f"the Service is at {names}"
        )
        time.sleep(1.2)  # each upstream asks once a second

    def now(self) -> dict[str, str | None]:
        return {
            cookie: self.headrace.get(f"http://{self.host}/", headers={"Cookie": cookie}).backend
            for cookie in self.homes
        }


@pytest.fixture
def moving(run: Run, backends: Backends) -> Iterator[Moving]:
    four = pods(backends, "moving", 5, 6, 7, 8)
    headrace = run(
        sticky("moving", "moving"),
        sticky("persists", "moving", affinity_mode="persistent"),
        sticky("renews", "moving", session_cookie_change_on_failure="true"),
        route("probe", "moving"),
    )
    made = Moving(headrace, "moving.test", four)
    made.at(*four[:3])
    yield made
    headrace.stop()


@pytest.mark.shows("affinity", "affinity-mode")
def test_only_clients_of_a_pod_that_leaves_move(moving: Moving, backends: Backends) -> None:
    moving.greet(30)
    reloads = moving.headrace.metric("headrace_reloads_total")
    left = moving.pods[0]
    backends.stop(left)
    moving.at(*moving.pods[1:3])
    after = moving.now()
    stayed = {client: home for client, home in moving.homes.items() if home != left.name}
    assert 0 < len(stayed) < len(moving.homes)
    assert {client: after[client] for client in stayed} == stayed
    moved = {client: home for client, home in after.items() if client not in stayed}
    assert set(moved.values()) <= {pod.name for pod in moving.pods[1:3]}
    assert {client: home for client, home in moving.now().items() if client in moved} == moved, "they stay there"
    assert moving.headrace.metric("headrace_reloads_total") == reloads


@pytest.mark.shows("affinity", "affinity-mode")
@pytest.mark.parametrize("host", ["moving.test", "persists.test"])
def test_scaling_up_moves_nobody(moving: Moving, host: str) -> None:
    moving.host = host
    moving.greet(24)
    moving.at(*moving.pods)
    assert moving.now() == moving.homes
    assert "moving8" in tally(moving.headrace, host, 12), "new clients reach the new pod"


@pytest.mark.shows("affinity")
def test_a_pod_that_comes_back_has_its_clients_again(moving: Moving) -> None:
    moving.greet(12)
    moving.at(*moving.pods[1:3])
    moving.at(*moving.pods[:3])
    assert moving.now() == moving.homes


@pytest.mark.shows("session-cookie-change-on-failure")
@pytest.mark.parametrize(("host", "changes"), [("moving.test", False), ("renews.test", True)])
def test_a_pod_that_fails_while_it_is_still_listed(
    moving: Moving, backends: Backends, host: str, changes: bool
) -> None:
    """Nobody is refused. The cookie changes only where that is asked for; else the client returns to its pod."""
    moving.host = host
    moving.greet(6)
    dead = moving.pods[0]
    backends.stop(dead)
    for client, home in moving.homes.items():
        answer = moving.headrace.get(f"http://{host}/", headers={"Cookie": client})
        assert answer.status == 200
        cookie = cookie_of(answer)
        if home != dead.name:
            assert answer.backend == home
        elif changes:
            assert cookie is not None
            assert cookie.sent["Cookie"] != client.split(";")[0]
            assert moving.headrace.get(f"http://{host}/", headers=cookie.sent).backend == answer.backend
        else:
            assert cookie is None


@pytest.mark.shows("affinity")
def test_a_reload_moves_nobody(moving: Moving) -> None:
    moving.greet(12)
    reloads = moving.headrace.metric("headrace_reloads_total")
    moving.headrace.write("another.yaml", route("another", "moving"))
    moving.headrace.until(lambda: moving.headrace.metric("headrace_reloads_total") > reloads)
    moving.headrace.until(lambda: moving.headrace.get("http://another.test/").status == 200)
    assert moving.now() == moving.homes
