"""Canaries: who gets one, who never does, what they are bound to, and what happens when their pods are not there."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from controller.tests.live.backends import Backend, Backends, PodProcess
from controller.tests.live.conftest import Run
from controller.tests.live.cookies import canary, codes, cookie_of, given, likely, pods, route, tally
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, ingress, service, slice_at, slice_of
from controller.tests.ports import free_port

ALWAYS = {"canary_weight": "100"}
WEIGHED = {"canary": "true", "canary-weight": "100"}
INERT, REFUSED, INVALID = ["canary-inert"], ["canary-refused"], ["annotation-invalid"]


@dataclass(frozen=True)
class Rule:
    """Annotations of a canary; requests (headers) that it gets, and others that it does not get."""

    name: str
    annotations: dict[str, str]
    takes: list[dict[str, str]] = field(default_factory=list)
    leaves: list[dict[str, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name


HEADER = {"canary_by_header": "X-Canary"}
COOKIE = {"canary_by_cookie": "canary"}
RULES = [
    Rule("header", HEADER, [{"X-Canary": "always"}, {"x-canary": "always"}],
         [{}, {"X-Canary": "never"}, {"X-Canary": "ALWAYS"}, {"X-Canary": "yes"}, {"X-Canary": ""},
          {"X-Other": "always"}, {"X-Canary": "always-not"}, {"X-Canary": "not-always"}]),
    Rule("header-all", HEADER | ALWAYS, [{}, {"X-Canary": "always"}, {"X-Canary": "x"}], [{"X-Canary": "never"}]),
    Rule("value", HEADER | {"canary_by_header_value": "eu.west-1"}, [{"X-Canary": "eu.west-1"}],
         [{}, {"X-Canary": "always"}, {"X-Canary": "EU.WEST-1"}, {"X-Canary": "euxwest-1"}, {"X-Canary": "eu.west-12"},
          {"X-Canary": "xeu.west-1"}]),
    Rule("value-all", HEADER | ALWAYS | {"canary_by_header_value": "me"},
         [{}, {"X-Canary": "me"}, {"X-Canary": "never"}]),
    Rule("pattern", HEADER | {"canary_by_header_pattern": "^(beta|v2)-[0-9]+$"},
         [{"X-Canary": "beta-1"}, {"X-Canary": "v2-99"}],
         [{}, {"X-Canary": "always"}, {"X-Canary": "BETA-1"}, {"X-Canary": "beta-"}, {"X-Canary": "x beta-1"}]),
    Rule("pattern-search", HEADER | {"canary_by_header_pattern": "et"}, [{"X-Canary": "beta"}], [{"X-Canary": "BETA"}]),
    Rule("value-beats-pattern", HEADER | {"canary_by_header_value": "a", "canary_by_header_pattern": "b"},
         [{"X-Canary": "a"}], [{"X-Canary": "b"}]),
    Rule("value-alone", {"canary_by_header_value": "me"}, [], [{}, {"X-Canary": "me"}]),
    Rule("pattern-broken", HEADER | {"canary_by_header_pattern": "(("}, [],
         [{}, {"X-Canary": "(("}, {"X-Canary": "always"}], INVALID),
    Rule("pattern-slow", HEADER | {"canary_by_header_pattern": "(a+)+$"}, [], [{"X-Canary": "aaa"}], INVALID),
    Rule("pattern-named", HEADER | {"canary_by_header_pattern": "(?<hr_address>x)"}, [], [{"X-Canary": "x"}], INVALID),
    Rule("pattern-long", HEADER | {"canary_by_header_pattern": "a" * 257}, [], [{"X-Canary": "a" * 257}], INVALID),
    Rule("header-odd", {"canary_by_header": "x } default y; #"}, [], [{}], INVALID),
    Rule("header-blank", {"canary_by_header": "x;return 418"}, [], [{}], INVALID),
    Rule("value-odd", HEADER | {"canary_by_header_value": 'a" 1; default evil; "'}, [],
         [{}, {"X-Canary": "always"}], INVALID),
    Rule("cookie", COOKIE, [{"Cookie": "canary=always"}, {"Cookie": "a=b; canary=always; c=d"}],
         [{}, {"Cookie": "canary=never"}, {"Cookie": "canary=Always"}, {"Cookie": "canary=yes"},
          {"Cookie": "xcanary=always"}, {"Cookie": "other=canary=always"}]),
    Rule("cookie-all", COOKIE | ALWAYS, [{}, {"Cookie": "canary=x"}], [{"Cookie": "canary=never"}]),
    Rule("cookie-hyphen", {"canary_by_cookie": "my-canary.v2"},
         [{"Cookie": "my-canary.v2=always"}, {"Cookie": "a=b; MY-CANARY.v2=always"}],
         [{}, {"Cookie": "my-canary.v2=never"}, {"Cookie": "not-my-canary.v2=always"},
          {"Cookie": "my-canaryxv2=always"}]),
    Rule("cookie-odd", {"canary_by_cookie": "a$b"}, [], [{"Cookie": "a$b=always"}], INVALID),
    Rule("cookie-blank", {"canary_by_cookie": "a b"}, [], [{"Cookie": "a b=always"}], INVALID),
    Rule("order", HEADER | COOKIE | ALWAYS,
         [{}, {"X-Canary": "always", "Cookie": "canary=never"}, {"X-Canary": "other", "Cookie": "canary=always"}],
         [{"X-Canary": "never", "Cookie": "canary=always"}, {"X-Canary": "other", "Cookie": "canary=never"}]),
    Rule("all-rules", HEADER | COOKIE | ALWAYS | {"canary_by_header_value": "eu"},
         [{}, {"X-Canary": "eu", "Cookie": "canary=never"}, {"X-Canary": "us", "Cookie": "canary=always"}],
         [{"X-Canary": "us", "Cookie": "canary=never"}]),
    Rule("weight-0", {"canary_weight": "0"}, [], [{}] * 6),
    Rule("weight-none", {}, [], [{}] * 6),
    Rule("weight-100", {"canary_weight": "100"}, [{}] * 6),
    Rule("weight-over", {"canary_weight": "150"}, [{}] * 6),
    Rule("weight-negative", {"canary_weight": "-1", "canary_weight_total": "0"}, [], [{}] * 6, INVALID),
    Rule("weight-odd", {"canary_weight": "50%"}, [], [{}] * 6, INVALID),
    Rule("total-all", {"canary_weight": "1000", "canary_weight_total": "1000"}, [{}] * 6),
    Rule("total-small", {"canary_weight": "100", "canary_weight_total": "10"}, [{}] * 6),
    Rule("total-odd", {"canary_weight": "100", "canary_weight_total": "many"}, [{}] * 6, [], INVALID),
]  # fmt: skip

SHARES = {
    "half": ({"canary_weight": "50"}, 0.5),
    "tenth": ({"canary_weight": "10"}, 0.1),
    "nearly-all": ({"canary_weight": "95"}, 0.95),
    "of-1000": ({"canary_weight": "200", "canary_weight_total": "1000"}, 0.2),
    "of-3": ({"canary_weight": "30", "canary_weight_total": "3"}, 0.3),
    "thirds": ({"canary_weight": "333", "canary_weight_total": "999"}, 1 / 3),
    "after-cookie": (COOKIE | {"canary_weight": "40"}, 0.4),
}

Matched = tuple[str, str, str, str]
"""Path and pathType of the main Ingress, and those of the canary."""
PAIRED: dict[str, tuple[Matched, str]] = {
    "prefix": (("/app", "Prefix", "/app", "Prefix"), "/app/x"),
    "exact": (("/app", "Exact", "/app", "Exact"), "/app"),
    "specific": (("/app", "ImplementationSpecific", "/app", "Prefix"), "/app/x"),
    "slash": (("/app/", "Prefix", "/app", "Prefix"), "/app/x"),
    "accents": (("/café", "Prefix", "/café", "Prefix"), "/caf%C3%A9"),
}
UNPAIRED: dict[str, tuple[Matched, str]] = {
    "exact-prefix": (("/app", "Exact", "/app", "Prefix"), "/app"),
    "prefix-exact": (("/app", "Prefix", "/app", "Exact"), "/app"),
    "longer": (("/app", "Prefix", "/app/x", "Prefix"), "/app/x"),
    "shorter": (("/app", "Prefix", "/", "Prefix"), "/app/x"),
    "case": (("/app", "Prefix", "/App", "Prefix"), "/app/x"),
}


@pytest.fixture(scope="module")
def old(backends: Backends) -> tuple[Backend, ...]:
    return pods(backends, "old", 2, 3)


@pytest.fixture(scope="module")
def new(backends: Backends) -> tuple[Backend, ...]:
    return pods(backends, "new", 4, 5)


def aged(document: Object, year: int) -> Object:
    document["metadata"]["creationTimestamp"] = f"{year}-01-01T00:00:00Z"
    return document


def in_tenant(document: Object) -> Object:
    document["metadata"]["namespace"] = "tenant"
    return document


def both(name: str, **annotations: str) -> list[Object]:
    """A main Ingress of that name, and a canary `<name>-canary`."""
    return [route(name, "old"), canary(f"{name}-canary", "new", of=name, **annotations)]


@pytest.fixture(scope="module")
def objects(old: tuple[Backend, ...], new: tuple[Backend, ...], backends: Backends) -> list[Object]:
    sticky = {"affinity": "cookie"}
    return [
        *app("old", *old), *app("new", *new), *app("third", backends.start("third")),
        *app("foreign", backends.start("foreign"), namespace="tenant"), service("nobody"), slice_of("nobody"),
        *(document for rule in RULES for document in both(f"rule-{rule}", **rule.annotations)),
        *(document for name, (annotations, _) in SHARES.items() for document in both(f"share-{name}", **annotations)),
        *(document for name, ((path, kind, its_path, its_kind), _) in (PAIRED | UNPAIRED).items() for document in (
            route(f"pair-{name}", "old", path=path, kind=kind),
            canary(f"pair-{name}-canary", "new", of=f"pair-{name}", path=its_path, kind=its_kind, **ALWAYS))),
        # what it is bound to
        route("bound", "old"), canary("bound-canary", "new", of="bound", **ALWAYS),
        ingress("bound-paths", ("bound.test", "/other", "Prefix", "old"), ("elsewhere.test", "/", "Prefix", "old")),
        canary("alone", "new", of="alone", **ALWAYS),
        route("older", "old"),
        aged(canary("younger-canary", "new", of="older", **ALWAYS), 2025),
        aged(canary("older-canary", "third", of="older", **ALWAYS), 2024),
        route("same", "old"), canary("same-canary", "old", of="same", **ALWAYS),
        route("gone", "old"), canary("gone-canary", "nowhere", of="gone", **ALWAYS),
        route("stolen", "old"), in_tenant(canary("thief", "foreign", of="stolen", **ALWAYS)),
        ingress("not-canary", ("not-canary.test", "/", "Prefix", "new"), annotations={"canary": "false"}),
        ingress("odd-canary", ("odd-canary.test", "/", "Prefix", "new"), annotations={"canary": "yes"}),
        ingress("default-canary", default="new", annotations=WEIGHED),
        ingress("catch", ("", "/hostless", "Prefix", "old")),
        ingress("catch-canary", ("", "/hostless", "Prefix", "new"), annotations=WEIGHED),
        ingress("wild", ("*.wild.test", "/", "Prefix", "old"), annotations={}),
        ingress("wild-canary", ("*.wild.test", "/", "Prefix", "new"), annotations=WEIGHED),
        ingress("aliased", ("aliased.test", "/", "Prefix", "old"), annotations={"server-alias": "alias.test"}),
        canary("aliased-canary", "new", of="aliased", **ALWAYS),
        # regular expressions
        route("regex", "old", path="/v([0-9]+)/(.*)", kind="ImplementationSpecific", use_regex="true",
              rewrite_target="/$2"),
        canary("regex-canary", "new", of="regex", path="/v([0-9]+)/(.*)", kind="ImplementationSpecific", **ALWAYS),
        # everything else comes from the main Ingress
        route("guarded", "old", denylist_source_range="127.0.0.1"),
        canary("guarded-canary", "new", of="guarded", **ALWAYS),
        route("shut", "old", allowlist_source_range="not a network"),
        canary("shut-canary", "new", of="shut", **ALWAYS),
        route("open", "old"),
        canary("open-canary", "new", of="open", denylist_source_range="127.0.0.1", auth_type="nonsense",
               permanent_redirect="https://else.example/", configuration_snippet="return 418;", **ALWAYS),
        route("vhost", "old", upstream_vhost="inner.example"),
        canary("vhost-canary", "new", of="vhost", upstream_vhost="canary.example", **ALWAYS),
        # its own balancing
        route("hashed", "old"), canary("hashed-canary", "new", of="hashed", upstream_hash_by="$arg_u", **ALWAYS),
        # no pods
        route("empty", "old"), canary("empty-canary", "nobody", of="empty", **ALWAYS),
        route("empty-half", "old"), canary("empty-half-canary", "nobody", of="empty-half", canary_weight="50"),
        route("no-main", "nobody"), canary("no-main-canary", "new", of="no-main", **ALWAYS),
        route("neither", "nobody"), canary("neither-canary", "waiting", of="neither", **ALWAYS),
        route("waited", "old"), canary("waited-canary", "waiting", of="waited", **ALWAYS),
        service("waiting"),
        # affinity
        route("sticky", "old", **sticky), canary("sticky-canary", "new", of="sticky", canary_weight="50", **HEADER),
        route("legacy", "old", **sticky),
        canary("legacy-canary", "new", of="legacy", affinity_canary_behavior="legacy", **HEADER),
        route("legacy-own", "old", **sticky),
        canary("legacy-own-canary", "new", of="legacy-own", affinity_canary_behavior="legacy",
               session_cookie_name="own", **HEADER, **sticky),
        route("odd-behavior", "old", **sticky),
        canary("odd-behavior-canary", "new", of="odd-behavior", affinity_canary_behavior="Sticky", **HEADER),
        route("main-free", "old"), canary("canary-sticks", "new", of="main-free", **HEADER, **sticky),
        route("sticky-empty", "old", **sticky), canary("sticky-empty-canary", "nobody", of="sticky-empty", **ALWAYS),
        route("named", "old", session_cookie_name="my-pod", session_cookie_max_age="60", **sticky),
        canary("named-canary", "new", of="named", session_cookie_name="else", **HEADER),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def headrace(run: Run, objects: list[Object], log: Path) -> Headrace:
    return run(*objects, flags=("--access-log", str(log)))


def side(headrace: Headrace, url: str, headers: dict[str, str] | None = None) -> str:
    """`old` or `new`: whose pod answers."""
    return str(headrace.get(url, headers=headers).backend).rstrip("0123456789")


def sides(headrace: Headrace, host: str, times: int, path: str = "/") -> Counter[str]:
    found: Counter[str] = Counter()
    for name, count in tally(headrace, host, times, path).items():
        found[name.rstrip("0123456789") or name] += count
    return found


# -- rules


@pytest.mark.shows(
    "canary", "canary-by-header", "canary-by-header-value", "canary-by-header-pattern", "canary-by-cookie",
    "canary-weight", "canary-weight-total",
)  # fmt: skip
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_who_gets_the_canary(headrace: Headrace, rule: Rule) -> None:
    url = f"http://rule-{rule}.test/"
    assert [side(headrace, url, headers) for headers in rule.takes] == ["new"] * len(rule.takes)
    assert [side(headrace, url, headers) for headers in rule.leaves] == ["old"] * len(rule.leaves)
    assert codes(headrace, f"rule-{rule}-canary") == rule.told
    assert codes(headrace, f"rule-{rule}") == []


@pytest.mark.shows("canary-weight", "canary-weight-total")
@pytest.mark.parametrize("name", SHARES)
def test_the_share_of_the_canary(headrace: Headrace, name: str) -> None:
    found = sides(headrace, f"share-{name}.test", 600)
    assert sum(found.values()) == found["old"] + found["new"] == 600
    assert likely(found["new"], 600, SHARES[name][1]), found


@pytest.mark.shows("canary-weight")
def test_each_request_is_drawn_anew(headrace: Headrace) -> None:
    """Also those of one connection, and those of one client."""
    runs = [side(headrace, "http://share-half.test/") for _ in range(40)]
    assert 5 < sum(before != after for before, after in pairwise(runs)) < 35


# -- what it is bound to


@pytest.mark.shows("canary")
@pytest.mark.parametrize("name", PAIRED)
def test_the_same_path(headrace: Headrace, name: str) -> None:
    assert side(headrace, f"http://pair-{name}.test{PAIRED[name][1]}") == "new"
    assert codes(headrace, f"pair-{name}-canary") == []


@pytest.mark.shows("canary")
@pytest.mark.parametrize("name", UNPAIRED)
def test_another_path(headrace: Headrace, name: str) -> None:
    assert side(headrace, f"http://pair-{name}.test{UNPAIRED[name][1]}") == "old"
    assert codes(headrace, f"pair-{name}-canary") == INERT


@pytest.mark.shows("canary")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://bound.test/", "new"),
        ("http://bound.test/other", "old"),
        ("http://elsewhere.test/", "old"),
        ("http://nobody.example/hostless", "new"),
        ("http://any.wild.test/", "new"),
        ("http://alias.test/", "new"),
        ("https://bound.test/", "new"),
        ("http://regex.test/v1/x", "new"),
        ("http://older.test/", "third"),
        ("http://same.test/", "old"),
        ("http://gone.test/", "old"),
        ("http://stolen.test/", "old"),
        ("http://not-canary.test/", "new"),
        ("http://odd-canary.test/", "new"),
        ("http://vhost.test/", "new"),
    ],
)
def test_where_requests_go(headrace: Headrace, url: str, expected: str) -> None:
    """The Service of the main Ingress has other paths and hosts, which no canary of this one reaches."""
    assert side(headrace, url) == expected


@pytest.mark.shows("canary")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("alone", INERT),
        ("younger-canary", INERT),
        ("older-canary", []),
        ("same-canary", INERT),
        ("gone-canary", INERT),
        ("thief", REFUSED),
        ("default-canary", INERT),
        ("catch-canary", []),
        ("not-canary", []),
        ("odd-canary", INVALID),
        ("regex-canary", []),
    ],
)
def test_what_is_told(headrace: Headrace, name: str, told: list[str]) -> None:
    assert codes(headrace, name) == told


@pytest.mark.shows("canary")
def test_a_canary_makes_no_host(headrace: Headrace) -> None:
    assert headrace.get("http://alone.test/").status == 404


@pytest.mark.shows("canary")
def test_another_namespace_where_the_operator_allows_it(run: Run, backends: Backends) -> None:
    guest = in_tenant(canary("guest", "guest", of="shared", **ALWAYS))
    headrace = run(
        route("shared", "host"), *app("host", *pods(backends, "host", 12)), guest,
        service("guest", namespace="tenant"), flags=("--allow-cross-namespace-canaries",),
    )  # fmt: skip
    assert side(headrace, "http://shared.test/") == "host", "the guest has no pods"
    headrace.write("guest.yaml", slice_of("guest", *pods(backends, "guest", 13), namespace="tenant"))
    headrace.until(lambda: side(headrace, "http://shared.test/") == "guest")
    headrace.stop()


# -- everything else comes from the main Ingress


@pytest.mark.shows("canary")
@pytest.mark.parametrize(("host", "status"), [("guarded", 403), ("shut", 503), ("open", 200)])
def test_protections_of_the_main_ingress(headrace: Headrace, host: str, status: int) -> None:
    assert headrace.get(f"http://{host}.test/").status == status


@pytest.mark.shows("canary")
def test_settings_of_the_main_ingress(headrace: Headrace) -> None:
    assert headrace.get("http://vhost.test/").json["headers"]["host"] == "inner.example"
    assert headrace.get("http://regex.test/v12/a/b?q=1").json["target"] == "/a/b?q=1"
    assert codes(headrace, "open-canary") == ["annotation-refused"]


@pytest.mark.shows("canary", "upstream-hash-by")
def test_balancing_of_its_own(headrace: Headrace) -> None:
    assert len(tally(headrace, "hashed.test", 12, "/?u=1")) == 1
    assert set(tally(headrace, "hashed.test", 40, "/?u=N")) == {"new4", "new5"}


# -- pods that are not there


@pytest.mark.shows("canary", "canary-weight")
@pytest.mark.parametrize("host", ["empty", "empty-half", "waited"])
def test_the_main_pods_answer_for_a_canary_without_pods(headrace: Headrace, host: str) -> None:
    assert sides(headrace, f"{host}.test", 30) == {"old": 30}


@pytest.mark.shows("canary")
def test_a_canary_answers_where_the_main_service_is_empty(headrace: Headrace) -> None:
    assert sides(headrace, "no-main.test", 10) == {"new": 10}


@pytest.mark.shows("canary")
def test_a_canary_that_gets_pods_and_loses_them(headrace: Headrace, backends: Backends) -> None:
    assert headrace.get("http://neither.test/").status == 503
    reloads = headrace.metric("headrace_reloads_total")
    headrace.write("waiting.yaml", slice_of("waiting", backends.start("arrived")))
    for host in ("waited", "neither"):
        headrace.until(lambda host=host: side(headrace, f"http://{host}.test/") == "arrived")
    headrace.write("waiting.yaml", slice_of("waiting"))
    headrace.until(lambda: side(headrace, "http://waited.test/") == "old")
    headrace.until(lambda: headrace.get("http://neither.test/").status == 503)
    assert headrace.metric("headrace_reloads_total") == reloads


@pytest.mark.shows("canary")
def test_no_request_fails_while_canary_pods_come_and_go(headrace: Headrace) -> None:
    """A pod exits the moment it is withdrawn: what it had not received waits, and goes where pods are."""
    answers: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            pod = PodProcess(keep=True)
            headrace.write("waiting.yaml", slice_at("waiting", (pod.host, pod.port)))
            headrace.until(lambda: side(headrace, "http://waited.test/") == "pod")
            asked = pool.submit(lambda: [headrace.get("http://waited.test/").status for _ in range(60)])
            time.sleep(0.05)
            headrace.write("waiting.yaml", slice_of("waiting"))
            pod.terminate()
            answers += asked.result()
            pod.reap()
    assert Counter(answers) == {200: 120}


@pytest.mark.shows("canary")
def test_a_request_for_the_canary_is_held_for_its_pods(run: Run, backends: Backends) -> None:
    """Of two dead Services the one that the request was for is asked again, and not the other one."""
    dead = [service(name) for name in ("main", "new")]
    places = [slice_at(name, ("127.0.0.1", free_port())) for name in ("main", "new")]
    headrace = run(route("held", "main"), canary("held-canary", "new", of="held", **HEADER), *dead, *places)
    time.sleep(2.2)  # the pods are not young any more
    with ThreadPoolExecutor(2) as pool:
        wanted = pool.submit(
            headrace.get, "http://held.test/", headers={"X-Canary": "always"}, method="POST", body=b"x"
        )
        usual = pool.submit(headrace.get, "http://held.test/")
        time.sleep(0.5)
        headrace.write("new.yaml", slice_of("new", backends.start("revived"), suffix="2"))
        assert (wanted.result().backend, wanted.result().json["body"]) == ("revived", "x")
        assert not usual.done(), "the others wait for the main Service"
        headrace.write("main.yaml", slice_of("main", backends.start("main-revived"), suffix="2"))
        assert usual.result().backend == "main-revived"
    headrace.stop()


# -- logs and metrics


@pytest.mark.shows("canary")
@pytest.mark.parametrize(
    ("value", "names"), [("always", "[default-old-80] [default-new-80]"), ("never", "[default-old-80] []")]
)
def test_the_access_log_names_the_canary(headrace: Headrace, log: Path, value: str, names: str) -> None:
    headrace.get(f"http://rule-header.test/log-{value}", headers={"X-Canary": value})
    headrace.until(lambda: f"/log-{value} " in log.read_text())
    line = next(line for line in log.read_text().splitlines() if f"/log-{value} " in line)
    assert names in line


@pytest.mark.shows("canary")
def test_metrics_follow_the_service_that_was_asked(headrace: Headrace) -> None:
    def counted(ingress: str, service_name: str) -> float:
        text = headrace.ask_health("/metrics").body.decode()
        found = re.findall(r"^headrace_requests_total\{([^}]*)\} (\S+)", text, re.MULTILINE)
        return sum(
            float(n) for labels, n in found if f'"{ingress}"' in labels and f'service="{service_name}"' in labels
        )

    for _ in range(5):
        headrace.get("http://rule-weight-100.test/counted")
        headrace.get("http://rule-weight-0.test/counted")
    headrace.until(lambda: counted("rule-weight-100-canary", "new") >= 5)
    headrace.until(lambda: counted("rule-weight-0", "old") >= 5)
    assert counted("rule-weight-100", "old") == counted("rule-weight-0-canary", "new") == 0


# -- affinity


@pytest.mark.shows("affinity-canary-behavior")
@pytest.mark.parametrize("wanted", ["always", "never"])
def test_clients_stay_where_they_were_first_served(headrace: Headrace, wanted: str) -> None:
    """Neither a header nor chance moves them."""
    first = headrace.get("http://sticky.test/", headers={"X-Canary": wanted})
    sent = given(first).sent
    asked = [headrace.get("http://sticky.test/", headers=sent | {"X-Canary": value})
             for value in ("always", "never", "x") for _ in range(5)]  # fmt: skip
    assert {(answer.backend, cookie_of(answer)) for answer in asked} == {(first.backend, None)}
    assert str(first.backend).startswith("new" if wanted == "always" else "old")


@pytest.mark.shows("affinity-canary-behavior")
def test_new_clients_are_drawn(headrace: Headrace) -> None:
    assert likely(sides(headrace, "sticky.test", 300)["new"], 300, 0.5)


@pytest.mark.shows("affinity-canary-behavior")
def test_replicas_agree_on_the_side(run: Run, headrace: Headrace, objects: list[Object]) -> None:
    other = run(*objects)
    for wanted in ("always", "never") * 5:
        first = headrace.get("http://sticky.test/", headers={"X-Canary": wanted})
        assert other.get("http://sticky.test/", headers=given(first).sent).backend == first.backend
    other.stop()


@pytest.mark.shows("affinity-canary-behavior")
def test_legacy_decides_each_time(headrace: Headrace) -> None:
    first = headrace.get("http://legacy.test/")
    sent = given(first).sent
    assert str(first.backend).startswith("old")
    asked = [headrace.get("http://legacy.test/", headers=sent | {"X-Canary": "always"}) for _ in range(3)]
    assert {str(answer.backend)[:3] for answer in asked} == {"new"}
    assert {cookie_of(answer) for answer in asked} == {None}, "the canary has no affinity of its own"
    assert headrace.get("http://legacy.test/", headers=sent).backend == first.backend


@pytest.mark.shows("affinity-canary-behavior")
def test_legacy_with_a_cookie_of_its_own(headrace: Headrace) -> None:
    first = headrace.get("http://legacy-own.test/", headers={"X-Canary": "always"})
    cookie = given(first)
    assert cookie.name == "own"
    again = {
        headrace.get("http://legacy-own.test/", headers=cookie.sent | {"X-Canary": "always"}).backend for _ in range(6)
    }
    assert again == {first.backend}
    assert side(headrace, "http://legacy-own.test/", cookie.sent) == "old"


@pytest.mark.shows("affinity-canary-behavior")
def test_an_odd_behavior_is_the_usual_one(headrace: Headrace) -> None:
    sent = given(headrace.get("http://odd-behavior.test/")).sent
    assert side(headrace, "http://odd-behavior.test/", sent | {"X-Canary": "always"}) == "old"
    assert codes(headrace, "odd-behavior-canary") == INVALID


@pytest.mark.shows("affinity-canary-behavior", "affinity")
def test_affinity_of_the_canary_alone(headrace: Headrace) -> None:
    assert cookie_of(headrace.get("http://main-free.test/")) is None
    first = headrace.get("http://main-free.test/", headers={"X-Canary": "always"})
    sent = given(first).sent
    again = {headrace.get("http://main-free.test/", headers=sent | {"X-Canary": "always"}).backend for _ in range(6)}
    assert again == {first.backend}
    assert side(headrace, "http://main-free.test/", sent) == "old", "the rules decide"


@pytest.mark.shows("affinity-canary-behavior", "session-cookie-name")
def test_the_cookie_is_that_of_the_main_ingress(headrace: Headrace) -> None:
    cookie = given(headrace.get("http://named.test/", headers={"X-Canary": "always"}))
    assert (cookie.name, cookie.attributes["max-age"]) == ("my-pod", "60")
    assert side(headrace, "http://named.test/", cookie.sent) == "new"


@pytest.mark.shows("affinity-canary-behavior")
def test_sticky_clients_of_a_canary_without_pods(headrace: Headrace) -> None:
    first = headrace.get("http://sticky-empty.test/")
    assert str(first.backend).startswith("old")
    assert {headrace.get("http://sticky-empty.test/", headers=given(first).sent).backend for _ in range(6)} == {
        first.backend
    }


@pytest.mark.shows("affinity-canary-behavior")
def test_a_canary_that_is_taken_away_and_one_that_comes(run: Run, backends: Backends) -> None:
    """Clients of the main pods stay through both; those of the canary become clients of the main pods."""
    pair = [*app("main", *pods(backends, "main", 22, 23)), *app("trial", *pods(backends, "trial", 24, 25))]
    main = route("comes", "main", affinity="cookie")
    trial = canary("comes-canary", "trial", of="comes", **ALWAYS)
    headrace = run(main, *pair)
    settled = headrace.get("http://comes.test/")
    headrace.write("trial.yaml", trial)
    headrace.until(lambda: side(headrace, "http://comes.test/") == "trial")
    assert headrace.get("http://comes.test/", headers=given(settled).sent).backend == settled.backend
    guest = given(headrace.get("http://comes.test/"))
    (headrace.manifests / "trial.yaml").unlink()
    headrace.until(lambda: side(headrace, "http://comes.test/") == "main")
    home = headrace.get("http://comes.test/", headers=guest.sent)
    assert str(home.backend).startswith("main")
    assert given(home).value != guest.value
    assert headrace.get("http://comes.test/", headers=given(settled).sent).backend == settled.backend
    headrace.stop()


@pytest.mark.shows("canary")
def test_the_report_is_json_that_names_both(headrace: Headrace) -> None:
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    found = next(item for item in report if item["code"] == "canary-refused")
    assert "stolen" in found["message"]
