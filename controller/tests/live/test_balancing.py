"""How requests are spread over the pods of a Service: methods, hashing, subsets, and the Service's own address."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.cookies import codes, cookie_of, likely, pods, route, tally
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, service, slice_of
from controller.tests.ports import free_port

INVALID = ["annotation-invalid"]
METHODS = [
    "round_robin",
    "ewma",
    "least_conn",
    "random",
    "chash",
    "chashsubset",
    "sticky_balanced",
    "sticky_persistent",
]
WRONG_METHODS = ["ip_hash", "EWMA", "least_time header", "round_robin;", "hash $request_uri"]


@dataclass(frozen=True)
class Key:
    """A hash key, and requests by number: with `differ` each has a key of its own, with `same` all have one."""

    name: str
    text: str
    differ: tuple[str, dict[str, str]]
    same: tuple[str, dict[str, str]] = ("/same?u=1", {"X-User": "ann", "Cookie": "user=ann"})

    def __str__(self) -> str:
        return self.name


PLAIN = {"X-User": "ann", "Cookie": "user=ann"}
KEYS = [
    Key("uri", "$request_uri", ("/N", PLAIN)),
    Key("path", "$uri", ("/N", PLAIN), ("/same?n=N", PLAIN)),
    Key("argument", "$arg_u", ("/?u=N", PLAIN), ("/N?u=1", PLAIN)),
    Key("arguments", "$args", ("/?N", PLAIN), ("/N?same", PLAIN)),
    Key("header", "$http_x_user", ("/", {"X-User": "N"}), ("/N", PLAIN)),
    Key("cookie", "$cookie_user", ("/", {"Cookie": "user=N"}), ("/N", PLAIN)),
    Key("host-header", "$http_x_user$host", ("/", {"X-User": "N"}), ("/N", PLAIN)),
    Key("braces", "${http_x_user}", ("/", {"X-User": "N"}), ("/N", PLAIN)),
    Key("text", "v1-${arg_u}-text", ("/?u=N", PLAIN), ("/N?u=1", PLAIN)),
    Key("blank", "$arg_u and $http_x_user", ("/?u=N", PLAIN), ("/N?u=1", PLAIN)),
    Key("two", "$arg_u$http_x_user", ("/?u=N", PLAIN), ("/N?u=1", PLAIN)),
    Key("method-and-uri", "$request_method $request_uri", ("/N", PLAIN)),
]
ONE_PLACE = {
    "client": "$remote_addr",
    "binary-client": "$binary_remote_addr",
    "real-client": "$the_real_ip",
    "constant": "everything",
    "scheme": "$scheme",
    "absent-header": "$http_x_absent",
    "absent-argument": "$arg_absent",
    "certificate": "$ssl_client_s_dn",
}
WRONG_KEYS = [
    "$nope", "${request_uri", "$request_uri; return 418", "$", '"$request_uri" consistent; server 127.0.0.1:1',
    "$request_uritext", "$arg_", "$hr_route", "$upstream_addr", "a$", "$request_uri\\", "{$uri}", "$$uri", "${nope}",
    "$http_authorization\n", "x" * 2001,
]  # fmt: skip


@pytest.fixture(scope="module")
def web(backends: Backends) -> tuple[Backend, ...]:
    return pods(backends, "web", 2, 3, 4, 5)


@pytest.fixture(scope="module")
def objects(web: tuple[Backend, ...], backends: Backends) -> list[Object]:
    pair = pods(backends, "pair", 12, 13)
    behind = backends.start("behind-the-service", "127.0.0.99", free_port())
    port = {"name": "http", "port": behind.port, "targetPort": 80}
    address: dict[str, Any] = {"clusterIP": behind.host, "ports": [port]}
    return [
        *app("web", *web),
        *app("pair", *pair),
        service("direct", **address), slice_of("direct", *pair),
        service("headless", clusterIP="None"), slice_of("headless", *pair),
        service("unset"), slice_of("unset", *pair),
        service("away", clusterIP="127.0.0.98"), slice_of("away"),
        *(route(f"method-{number}", "web", load_balance=method) for number, method in enumerate(METHODS)),
        *(route(f"wrong-method-{n}", "web", load_balance=method) for n, method in enumerate(WRONG_METHODS)),
        *(route(f"key-{key}", "web", upstream_hash_by=key.text) for key in KEYS),
        *(route(f"one-{name}", "web", upstream_hash_by=text) for name, text in ONE_PLACE.items()),
        *(route(f"wrong-key-{n}", "web", upstream_hash_by=text) for n, text in enumerate(WRONG_KEYS)),
        *app("quick", *pods(backends, "quick", 42, 43, 44)),
        route("quick", "quick", load_balance="ewma"),
        route("none", "web"),
        route("hash-beats", "web", upstream_hash_by="$arg_u", load_balance="ewma"),
        route("subset", "web", upstream_hash_by="$arg_u", upstream_hash_by_subset="true"),
        route("subset-off", "web", upstream_hash_by="$arg_u", upstream_hash_by_subset="false"),
        route("subset-2", "web", upstream_hash_by="$arg_u", upstream_hash_by_subset="true",
              upstream_hash_by_subset_size="2"),
        route("subset-1", "web", upstream_hash_by="$arg_u", upstream_hash_by_subset="true",
              upstream_hash_by_subset_size="1"),
        route("subset-0", "web", upstream_hash_by="$arg_u", upstream_hash_by_subset="true",
              upstream_hash_by_subset_size="0"),
        route("subset-odd", "web", upstream_hash_by="$arg_u", upstream_hash_by_subset="true",
              upstream_hash_by_subset_size="many"),
        route("subset-keyless", "web", upstream_hash_by_subset="true"),
        *(route(f"service-{name}", "direct", service_upstream=text)
          for name, text in {"on": "true", "one": "1", "off": "false", "odd": "yes"}.items()),
        route("service-headless", "headless", service_upstream="true"),
        route("service-unset", "unset", service_upstream="true"),
        route("service-away", "away", service_upstream="true"),
        route("service-sticky", "direct", service_upstream="true", affinity="cookie"),
        route("service-named", "direct", service_upstream="true"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def headrace(run: Run, objects: list[Object]) -> Headrace:
    return run(*objects)


@pytest.fixture(scope="module")
def replica(run: Run, objects: list[Object]) -> Headrace:
    """Another controller for the same objects, whose ConfigMap has other defaults."""
    defaults = configmap(load_balance="least_conn", service_upstream="true")
    return run(*objects, defaults, route("plain-direct", "direct"), flags=CONFIGMAP)


def numbered(headers: dict[str, str], number: int) -> dict[str, str]:
    return {name: value.replace("N", str(number)) for name, value in headers.items()}


def by_key(headrace: Headrace, host: str, asked: tuple[str, dict[str, str]], times: int) -> Counter[str]:
    return tally(headrace, host, times, asked[0], lambda number: numbered(asked[1], number))


# -- methods


@pytest.mark.shows("load-balance")
@pytest.mark.parametrize("number", range(len(METHODS)), ids=METHODS)
def test_every_method_uses_every_pod(headrace: Headrace, number: int, web: tuple[Backend, ...]) -> None:
    assert set(tally(headrace, f"method-{number}.test", 60)) == {pod.name for pod in web}
    assert codes(headrace, f"method-{number}") == []


@pytest.mark.shows("load-balance")
@pytest.mark.parametrize("host", ["none", "method-0", "method-4", "method-5", "wrong-method-0"])
def test_in_turn(headrace: Headrace, host: str) -> None:
    found = tally(headrace, f"{host}.test", 48)
    assert max(found.values()) - min(found.values()) <= 2


@pytest.mark.shows("load-balance")
def test_by_chance(headrace: Headrace) -> None:
    found = tally(headrace, "method-3.test", 400)
    assert all(likely(count, 400, 1 / 4) for count in found.values())


@pytest.mark.shows("load-balance")
@pytest.mark.parametrize("number", range(len(WRONG_METHODS)), ids=WRONG_METHODS)
def test_what_is_no_method(headrace: Headrace, number: int) -> None:
    assert len(tally(headrace, f"wrong-method-{number}.test", 12)) == 4
    assert codes(headrace, f"wrong-method-{number}") == INVALID


@pytest.mark.shows("load-balance")
def test_busy_pods_are_passed_over(headrace: Headrace) -> None:
    busy, found = while_busy(headrace, "method-2.test")
    assert len(busy) == 3
    assert sum(found[name] for name in busy) == 0


def while_busy(headrace: Headrace, host: str) -> tuple[set[str], Counter[str]]:
    """Pods that have a slow request each, and who answers others meanwhile."""
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(headrace.get, f"http://{host}/slow/1.5") for _ in range(3)]
        time.sleep(0.4)
        found = tally(headrace, host, 30)
        return {str(answer.result().backend) for answer in slow}, found


@pytest.mark.shows("load-balance")
def test_slow_pods_are_passed_over(headrace: Headrace) -> None:
    """A pod that took long is not asked while others are quick and idle."""
    assert len(tally(headrace, "quick.test", 12)) == 3
    slow = str(headrace.get("http://quick.test/slow/1.2").backend)
    assert tally(headrace, "quick.test", 30)[slow] == 0


# -- hashing


@pytest.mark.shows("upstream-hash-by")
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_one_key_one_pod(headrace: Headrace, key: Key) -> None:
    assert len(by_key(headrace, f"key-{key}.test", key.same, 12)) == 1
    assert codes(headrace, f"key-{key}") == []


@pytest.mark.shows("upstream-hash-by")
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_many_keys_many_pods(headrace: Headrace, key: Key, web: tuple[Backend, ...]) -> None:
    assert set(by_key(headrace, f"key-{key}.test", key.differ, 120)) == {pod.name for pod in web}


@pytest.mark.shows("upstream-hash-by")
@pytest.mark.parametrize("name", ONE_PLACE)
def test_keys_that_are_alike_for_everyone(headrace: Headrace, name: str) -> None:
    assert len(tally(headrace, f"one-{name}.test", 12, "/N")) == 1


@pytest.mark.shows("upstream-hash-by")
@pytest.mark.parametrize("number", range(len(WRONG_KEYS)))
def test_what_is_no_key(headrace: Headrace, number: int) -> None:
    """The route works as without the annotation, and the host is not refused by nginx."""
    assert codes(headrace, f"wrong-key-{number}") == (
        [] if WRONG_KEYS[number].strip() == "$http_authorization" else INVALID
    )
    assert "503" not in tally(headrace, f"wrong-key-{number}.test", 8)


@pytest.mark.shows("upstream-hash-by")
def test_replicas_agree(headrace: Headrace, replica: Headrace) -> None:
    for number in range(40):
        asked = ("/N", {"X-User": str(number)})
        ours, theirs = (by_key(each, "key-header.test", asked, 1) for each in (headrace, replica))
        assert ours == theirs


@pytest.mark.shows("upstream-hash-by")
def test_a_hash_beats_a_method(headrace: Headrace) -> None:
    assert len(tally(headrace, "hash-beats.test", 16, "/?u=1")) == 1


@pytest.mark.shows("upstream-hash-by")
def test_a_pod_that_leaves_moves_its_keys_alone(run: Run, backends: Backends) -> None:
    leaving = pods(backends, "leaving", 22, 23, 24)
    headrace = run(route("hashed", "leaving", upstream_hash_by="$arg_u"), *app("leaving", *leaving))

    def homes() -> dict[int, str]:
        return {n: next(iter(tally(headrace, "hashed.test", 1, f"/?u={n}"))) for n in range(60)}

    before = homes()
    assert set(before.values()) == {pod.name for pod in leaving}
    headrace.write("objects.yaml", route("hashed", "leaving", upstream_hash_by="$arg_u"), *app("leaving", *leaving[1:]))
    headrace.until(lambda: leaving[0].name not in homes().values())
    after = homes()
    assert {n: home for n, home in before.items() if home != leaving[0].name}.items() <= after.items()
    assert headrace.metric("headrace_reloads_total") == 1
    headrace.stop()


# -- subsets


@pytest.mark.shows("upstream-hash-by-subset", "upstream-hash-by-subset-size")
@pytest.mark.parametrize(
    ("host", "most"),
    [("subset", 3), ("subset-2", 2), ("subset-1", 1), ("subset-0", 3), ("subset-odd", 3), ("subset-off", 1)],
)
def test_the_pods_of_one_key(headrace: Headrace, host: str, most: int) -> None:
    """A key has as many pods as asked for at the most, always the same, and all keys together have all pods."""
    every: set[str] = set()
    sizes = []
    for number in range(12):
        first = set(tally(headrace, f"{host}.test", 30, f"/?u={number}"))
        assert set(tally(headrace, f"{host}.test", 6, f"/?u={number}")) <= first
        sizes.append(len(first))
        every |= first
    assert max(sizes) == most
    assert len(every) == 4


@pytest.mark.shows("upstream-hash-by-subset", "upstream-hash-by-subset-size")
@pytest.mark.parametrize(
    ("name", "told"), [("subset", []), ("subset-0", []), ("subset-odd", INVALID), ("subset-keyless", [])]
)
def test_what_is_told_of_subsets(headrace: Headrace, name: str, told: list[str]) -> None:
    assert codes(headrace, name) == told


@pytest.mark.shows("upstream-hash-by-subset")
def test_a_subset_without_a_key_is_none(headrace: Headrace) -> None:
    assert len(tally(headrace, "subset-keyless.test", 12)) == 4


# -- through the Service


@pytest.mark.shows("service-upstream")
@pytest.mark.parametrize(
    ("host", "through", "told"),
    [
        ("service-on", True, []),
        ("service-one", True, []),
        ("service-off", False, []),
        ("service-odd", False, INVALID),
        ("service-headless", False, ["annotation-ignored"]),
        ("service-unset", False, ["annotation-ignored"]),
        ("service-sticky", True, []),
    ],
)
def test_who_chooses_the_pod(headrace: Headrace, host: str, through: bool, told: list[str]) -> None:
    expected = {"behind-the-service"} if through else {"pair12", "pair13"}
    assert set(tally(headrace, f"{host}.test", 8)) == expected
    assert codes(headrace, host) == told


@pytest.mark.shows("service-upstream")
def test_nobody_at_the_address(headrace: Headrace) -> None:
    """There is nobody to wait for either: who is behind the address is not known here."""
    begin = time.monotonic()
    assert headrace.get("http://service-away.test/").status == 502
    assert time.monotonic() - begin < 1


# -- defaults of the ConfigMap


@pytest.mark.shows("configmap:load-balance", "configmap:service-upstream")
@pytest.mark.parametrize(
    ("host", "through"), [("plain-direct", True), ("service-off", False), ("service-odd", False), ("service-on", True)]
)
def test_the_default_of_service_upstream(replica: Headrace, host: str, through: bool) -> None:
    """What is written is not the default, also where it is no word for true or false."""
    expected = {"behind-the-service"} if through else {"pair12", "pair13"}
    assert set(tally(replica, f"{host}.test", 8)) == expected


@pytest.mark.shows("configmap:load-balance")
def test_the_default_method(replica: Headrace) -> None:
    busy, found = while_busy(replica, "none.test")
    assert sum(found[name] for name in busy) == 0


@pytest.mark.shows("configmap:load-balance")
@pytest.mark.parametrize(("key", "value"), [("load-balance", "ip_hash"), ("service-upstream", "maybe")])
def test_odd_defaults_are_told(run: Run, backends: Backends, key: str, value: str) -> None:
    written = configmap(**{key.replace("-", "_"): value})
    headrace = run(route("usual", "usual"), *app("usual", *pods(backends, "usual", 32, 33)), written, flags=CONFIGMAP)
    assert set(tally(headrace, "usual.test", 8)) == {"usual32", "usual33"}
    assert codes(headrace, "settings") == ["configmap-key-invalid"]
    assert cookie_of(headrace.get("http://usual.test/")) is None
    headrace.stop()
