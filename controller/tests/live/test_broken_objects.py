"""One broken object never costs another anything, and its owner is told what, where and with what effect."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.broken import Broken, broken_objects, certificate_users
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.load import Load
from controller.tests.live.objects import Object, app, ingress, service

GOOD = 446
"""With the four Ingresses whose Secrets are broken it makes 450 good objects; 50 are broken."""

BROKEN = broken_objects()
Finding = dict[str, Any]


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    running = run(
        *(
            ingress(f"good{n}", (f"good{n}.test", "/", "Prefix", "app"), created="2020-01-01T00:00:00Z")
            for n in range(GOOD)
        ),
        *certificate_users(),
        *app("app", backends.start("app")),
        service("loopback", type="ExternalName", externalName="localhost"),
    )
    for broken in BROKEN:
        if isinstance(broken.object, str):
            (running.manifests / f"{broken.name}.yaml").write_text(broken.object)
        else:
            running.write(f"{broken.name}.yaml", broken.object)
    running.until(lambda: len(named(findings(running)).keys() & {b.about for b in BROKEN}) == len(BROKEN))
    yield running


def findings(headrace: Headrace) -> list[Finding]:
    found: list[Finding] = headrace.ask_health("/debug/diagnostics").json["diagnostics"]
    return found


def named(found: list[Finding]) -> dict[tuple[str, str], list[Finding]]:
    by_object = defaultdict(list)
    for finding in found:
        by_object[finding["object"]["kind"], finding["object"]["name"]].append(finding)
    return by_object


def served(headrace: Headrace) -> list[str]:
    """Hosts of good objects that are not served."""
    hosts = [f"good{n}.test" for n in range(GOOD)]
    hosts += [rule["host"] for user in certificate_users() for rule in user["spec"]["rules"]]
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda host: headrace.get(f"http://{host}/").backend, hosts)
    return [host for host, backend in zip(hosts, answers, strict=True) if backend != "app"]


def test_four_hundred_and_fifty_are_served(headrace: Headrace) -> None:
    assert served(headrace) == []


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_each_is_told_once(headrace: Headrace, broken: Broken) -> None:
    (found,) = named(findings(headrace))[broken.about]
    assert (found["code"], found["field"], found["effect"]) == (broken.code, broken.field, broken.effect)
    assert found["severity"] in ("error", "warning") and found["message"] and found["effect_text"]


def test_nobody_else_is_told_anything(headrace: Headrace) -> None:
    users = {("Ingress", user["metadata"]["name"]) for user in certificate_users()}
    assert named(findings(headrace)).keys() == {broken.about for broken in BROKEN} | users


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("closes-auth.broken.test", 503),
        ("closes-lists.broken.test", 503),
        ("service-missing.broken.test", 503),
        ("port-number.broken.test", 503),
        ("external-loopback.broken.test", 503),
        ("path-newline.broken.test", 404),
        ("regex-class.broken.test", 404),
        ("shape-port.broken.test", 404),
        ("backend-resource.broken.test", 404),
        ("refused.broken.test", "app"),
        ("invalid-boolean.broken.test", "app"),
        ("unknown.broken.test", "app"),
        ("secret-expired.good.test", "app"),
    ],
)
def test_what_traffic_gets(headrace: Headrace, host: str, answer: int | str) -> None:
    got = headrace.get(f"http://{host}/")
    assert (got.backend or got.status) == answer


def test_after_a_crash_all_is_as_before_and_nobody_noticed(headrace: Headrace) -> None:
    before = findings(headrace)
    nginx = (headrace.directory / "state" / "nginx.pid").read_text()
    with Load(headrace.http, "good7.test", clients=3) as load:
        time.sleep(0.5)
        headrace.stop(kill=True)
        time.sleep(0.5)
        headrace.start()
        time.sleep(0.5)
    print(f"kill -9 and restart of the controller with 500 objects: {load.tally}")
    assert not load.tally.failures and load.tally.slowest < 1
    assert (headrace.directory / "state" / "nginx.pid").read_text() == nginx
    assert findings(headrace) == before and served(headrace) == []
    assert headrace.metric("headrace_reloads_total") == 0, headrace.log.read_text()[-6000:]


# -- what translate accepts and nginx does not


REFUSED = "/(?<=x+)y"
"""A lookbehind without bounds. Python's complaint about it is not one that PCRE is sure to share."""


def regex(name: str, path: str = REFUSED, host: str = "") -> Object:
    host = host or f"{name}.test"
    return ingress(name, (host, path, "ImplementationSpecific", "app"), annotations={"use-regex": "true"})


@pytest.fixture(scope="module")
def refusing(run: Run, backends: Backends) -> Iterator[Headrace]:
    yield run(
        *(regex(f"bad{n}") for n in range(3)),
        ingress("fine", ("fine.test", "/", "Prefix", "app")),
        ingress("beside", ("bad1.test", "/beside", "Prefix", "app")),
        *app("app", backends.start("app")),
    )


def test_only_the_host_is_set_apart_that_nginx_refuses(refusing: Headrace) -> None:
    assert refusing.get("http://fine.test/").backend == "app"
    assert [refusing.get(f"http://bad{n}.test/xy").status for n in range(3)] == [503] * 3
    told = [f for f in findings(refusing) if f["code"] == "refused-by-nginx"]
    assert {f["object"]["name"] for f in told} == {"bad0", "bad1", "bad2", "beside"}
    assert all(f["effect"] == "host-unserved" and f["severity"] == "error" for f in told)
    assert refusing.metric("headrace_quarantined_fragments") == 3


def test_changes_of_others_still_take_effect(refusing: Headrace) -> None:
    refusing.write("more.yaml", ingress("more", ("more.test", "/", "Prefix", "app")))
    assert refusing.until(lambda: refusing.get("http://more.test/").backend == "app") < 3
    assert refusing.get("http://bad0.test/xy").status == 503


def test_who_was_good_before_keeps_being_served(refusing: Headrace) -> None:
    refusing.write("turns.yaml", regex("turns", "/(x)(y)"))
    refusing.until(lambda: refusing.get("http://turns.test/xy").backend == "app")
    refusing.write("turns.yaml", regex("turns"))

    def effect() -> list[str]:
        return [f["effect"] for f in findings(refusing) if f["object"]["name"] == "turns"]

    refusing.until(lambda: effect() == ["previous-version-served"], 10)
    assert refusing.get("http://turns.test/xy").backend == "app"
    refusing.write("turns.yaml", regex("turns", "/z"))
    refusing.until(lambda: refusing.get("http://turns.test/z").backend == "app" and effect() == [], 10)


def test_it_survives_a_crash(refusing: Headrace) -> None:
    refusing.stop(kill=True)
    refusing.start()
    assert refusing.get("http://fine.test/").backend == "app"
    assert refusing.get("http://bad2.test/xy").status == 503
    refusing.until(lambda: refusing.metric("headrace_quarantined_fragments") == 3)
    refusing.write(
        "more.yaml", ingress("more", ("more.test", "/", "Prefix", "app"), ("last.test", "/", "Prefix", "app"))
    )
    refusing.until(lambda: refusing.get("http://last.test/").backend == "app")
