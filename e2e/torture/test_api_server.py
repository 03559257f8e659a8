"""The API server is slow, away, broken or lies, under constant load. Window of every fault: none.

Nothing that it does or leaves undone takes a route, an endpoint or a certificate away that it does not take away for
good. What changes meanwhile is served within `CATCH_UP` seconds of its end, or what the test says. The controller stays
ready, and asks no more than `BURST` requests and `RATE` a second.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.tests.live.objects import Object
from e2e.chart.rendering import rights
from e2e.controlplane.certificates import Authority
from e2e.torture.api_faults import (
    FAR,
    LISTS,
    Early,
    Endless,
    Garbage,
    Gone,
    HalfOpen,
    Huge,
    Lists,
    Marks,
    Mute,
    Slow,
    Storm,
    Stranger,
    Torn,
    Trickle,
    Unordered,
)
from e2e.torture.api_wire import Fault
from e2e.torture.api_world import ADDRESS, ELECTION_SECONDS, ApiWorld, new_token, route, running_api_world
from e2e.torture.world import open_directory

CATCH_UP = 20.0
"""Seconds after a fault: the longest pause between two tries, which is ten, a second look at a list, and a reload."""

BURST, RATE = 40, 12.0
"""Requests at once, and a second: five watches and the Lease, each tried with growing pauses."""

PROCESSOR = 0.5
"""Share of one processor while a fault lasts. A loop without a pause takes all of it."""

GROWTH = 60.0
"""MiB. What a single megabyte object costs while it is read is part of it."""

LONG = pytest.mark.long


@pytest.fixture(scope="module")
def world() -> Iterator[ApiWorld]:
    with open_directory() as directory, running_api_world(directory) as running:
        yield running


@contextmanager
def endured(world: ApiWorld, catch_up: float = CATCH_UP, name: str = "") -> Iterator[None]:
    """The block is the fault. Under load nothing is lost; then what changed is served; all of it at a bounded price."""
    with world.load() as load:
        load.warm_up()
        with world.measured() as spent:
            yield
            assert world.ready() == 200
        took = world.until_changed(catch_up)
        time.sleep(0.3)
    print(f"{name}: {load.seen()}; {spent[0]}; caught up {took:.2f} s after it")
    load.seen().assert_all_right(at_least=100)
    assert spent[0].requests <= BURST + RATE * spent[0].seconds
    assert spent[0].processor <= 1 + PROCESSOR * spent[0].seconds
    assert spent[0].grown <= GROWTH


FAULTS: tuple[Any, ...] = (
    pytest.param(lambda: [Storm(503)], id="503"),
    pytest.param(lambda: [Storm(500)], id="500", marks=LONG),
    pytest.param(lambda: [Gone()], id="410", marks=LONG),
    pytest.param(lambda: [Gone(bookmark=True)], id="410-after-a-bookmark"),
    pytest.param(lambda: [Unordered()], id="unordered-events"),
    pytest.param(lambda: [Early()], id="events-of-long-ago", marks=LONG),
    pytest.param(lambda: [Torn()], id="watches-cut-in-a-line", marks=LONG),
    pytest.param(lambda: [Marks("")], id="bookmark-of-nothing", marks=LONG),
    pytest.param(lambda: [Marks("1")], id="bookmark-of-the-past", marks=LONG),
    pytest.param(lambda: [Marks("soon")], id="bookmark-of-no-number", marks=LONG),
    pytest.param(lambda: [Marks(FAR)], id="bookmark-of-the-future", marks=LONG),
    pytest.param(lambda: [Garbage()], id="garbage"),
    pytest.param(lambda: [Lists("empty")], id="empty-lists"),
    pytest.param(lambda: [Lists("short")], id="lists-that-end-early"),
    pytest.param(lambda: [Lists("repeated")], id="lists-that-repeat", marks=LONG),
    pytest.param(lambda: [Lists("bare")], id="lists-of-nothing", marks=LONG),
    pytest.param(lambda: [Lists("old")], id="lists-of-long-ago", marks=LONG),
    pytest.param(lambda: [Huge()], id="huge-objects", marks=LONG),
    pytest.param(lambda: [Trickle(0.2), Gone()], id="lists-that-trickle", marks=LONG),
    pytest.param(lambda: [Endless()], id="a-line-without-end", marks=LONG),
)


SECONDS = (pytest.param(3, id="3s"), pytest.param(20, id="20s", marks=LONG))
"""How long a fault lasts."""


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("faults", FAULTS)
def test_the_api_server_answers_wrong(
    world: ApiWorld, faults: Callable[[], list[Fault]], seconds: int, request: pytest.FixtureRequest
) -> None:
    """Two changes, and watches that begin anew after them: what is told late or twice must not undo the second one."""
    with endured(world, name=request.node.name), world.proxy.faulty(*faults()):
        world.change()
        time.sleep(seconds * 0.4)
        world.change()
        time.sleep(seconds * 0.2)
        world.proxy.cut()
        time.sleep(seconds * 0.4)


@pytest.mark.parametrize("seconds", [0.5, pytest.param(4.0, marks=LONG)])
def test_the_api_server_is_slow(world: ApiWorld, seconds: float) -> None:
    """What changes is served all the same, later by as much as a list and a watch take."""
    with endured(world, name=f"slow by {seconds} s"), world.proxy.faulty(Slow(seconds), Trickle(seconds / 8)):
        world.change()
        world.until_changed(CATCH_UP + 4 * seconds)


@pytest.mark.parametrize("seconds", SECONDS)
def test_the_api_server_refuses_connections(world: ApiWorld, seconds: int) -> None:
    """Tried every five seconds at least, so that it is no longer than that until changes arrive again."""
    with endured(world, CATCH_UP, "refused"):
        world.proxy.close()
        world.change()
        time.sleep(seconds)
        world.proxy.open()


@LONG
def test_tls_fails(world: ApiWorld, tmp_path: Path) -> None:
    stranger = Authority(tmp_path).server("stranger", ["localhost"], ["127.0.0.1"])
    with endured(world, name="another certificate"):
        world.proxy.close()
        world.proxy.open(stranger)
        world.change()
        time.sleep(3)
        world.proxy.close()
        world.proxy.open()


def test_the_api_server_asks_us_to_come_later(world: ApiWorld) -> None:
    """429 with Retry-After: nothing is asked of it before that by those who were told."""
    with endured(world, CATCH_UP + 6, "429"):
        begun = time.monotonic()
        with world.proxy.faulty(Storm(429, retry_after=6)):
            world.change()
            time.sleep(5)
        asked = world.proxy.asked(begun, lambda request: request.resource in LISTS and request.at < begun + 6)
    assert 1 <= len(asked) <= len(LISTS)


@LONG
@pytest.mark.timeout(400)
def test_connections_are_half_open(world: ApiWorld) -> None:
    """No byte and no end: found by the silence, which is longer than the minute between two bookmarks."""
    with endured(world, name="half-open"), world.proxy.faulty(HalfOpen(time.monotonic()), cut=False):
        world.change()
        world.until_changed(150)


@LONG
@pytest.mark.timeout(400)
def test_nobody_answers(world: ApiWorld) -> None:
    """Connections are taken and requests stay without an answer; each is given up after half a minute."""
    with endured(world, 70, "mute"), world.proxy.faulty(Mute()):
        world.change()
        time.sleep(45)


# -- who we are, and what we may


def without(*resources: str) -> list[Object]:
    """The rights of the chart, but nothing of these resources; of none at all if no resource is given."""
    roles = json.loads(json.dumps([each for each in rights() if each["kind"] in ("ClusterRole", "Role")]))
    for role in roles:
        for rule in role["rules"]:
            kept = [name for name in rule["resources"] if resources and name.partition("/")[0] not in resources]
            rule["resources"] = kept or ["nothing"]
    return list(roles)


RIGHTS = (
    pytest.param((), id="everything", marks=LONG),
    pytest.param(("secrets",), id="secrets"),
    pytest.param(("endpointslices",), id="endpoints", marks=LONG),
    pytest.param(("ingresses",), id="ingresses", marks=LONG),
)


@pytest.mark.parametrize("resources", RIGHTS)
def test_rights_are_taken_away_and_given_back(world: ApiWorld, resources: tuple[str, ...]) -> None:
    """Open watches go on, so they are cut too, as when the API server is replaced meanwhile."""
    with endured(world, name=f"without {' and '.join(resources) or 'anything'}"):
        world.control_plane.apply(*without(*resources))
        try:
            world.proxy.cut()
            world.change()
            time.sleep(4)
        finally:
            world.control_plane.apply(*rights())


def test_the_token_is_replaced(world: ApiWorld) -> None:
    """A bound token is a file that changes; the one before is refused from one moment to the next."""
    with endured(world, name="token"):
        token = new_token(world.control_plane)
        with world.proxy.faulty(Stranger(token)):
            world.change()
            time.sleep(2)
            world.token.write_text(token)
            world.until_changed(CATCH_UP)


@LONG
def test_the_token_file_is_broken_for_a_while(world: ApiWorld) -> None:
    with endured(world, name="no token"):
        token = world.token.read_text()
        for content in ("", "nonsense", "two\nlines", "\x00"):
            world.token.write_text(content)
            with world.proxy.faulty(Stranger(token)):
                world.change()
                time.sleep(1.5)
        world.token.unlink()
        world.proxy.cut()
        time.sleep(1.5)
        world.token.write_text(token)


def test_the_authority_of_the_api_server_is_another(world: ApiWorld, tmp_path: Path) -> None:
    """It comes back with certificates of a new authority, whose file changes a little later."""
    authority, before = Authority(tmp_path), world.authority.read_bytes()
    with endured(world, name="authority"):
        world.proxy.close()
        world.proxy.open(authority.server("proxy", ["localhost"], ["127.0.0.1"]))
        world.change()
        time.sleep(2)
        world.authority.write_bytes(authority.certificate.read_bytes())
        world.until_changed(CATCH_UP)
    world.proxy.close()
    world.authority.write_bytes(before)
    world.proxy.open()


# -- what is behind it


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
@LONG
def test_the_api_server_starts_anew(world: ApiWorld, kill: bool) -> None:
    with endured(world, name="restart"):
        world.control_plane.stop_apiserver(kill=kill)
        time.sleep(3)
        world.control_plane.start_apiserver()
        world.change()


@LONG
def test_etcd_stands_still(world: ApiWorld) -> None:
    etcd = world.control_plane.pids()["etcd"]
    with endured(world, name="etcd"):
        os.kill(etcd, signal.SIGSTOP)
        try:
            world.proxy.cut()
            time.sleep(15)
        finally:
            os.kill(etcd, signal.SIGCONT)
        world.headrace.until(lambda: _works(world), 30)
        world.change()


def _works(world: ApiWorld) -> bool:
    world.control_plane.kubectl("get", "--raw", "/readyz")
    return True


# -- what we write


def test_the_lease_is_taken_by_another(world: ApiWorld) -> None:
    """Who lost it stops writing, and takes it again when it has run out."""
    with endured(world, name="lease"):
        lease = _lease(world)
        lease["spec"]["holderIdentity"] = "thief"
        world.control_plane.apply(lease)
        world.until(lambda: not world.leads(), ELECTION_SECONDS, "it notices")
        world.change()
        world.until(world.leads, 3 * ELECTION_SECONDS, "it leads again")
    assert _lease(world)["spec"]["holderIdentity"].startswith("headrace-0")


def _lease(world: ApiWorld) -> Any:
    found = json.loads(world.control_plane.kubectl("get", "lease", "torture", "-n", "headrace", "-o", "json"))
    del found["metadata"]["resourceVersion"]
    return found


@pytest.mark.parametrize("status", [409, pytest.param(503, marks=LONG), pytest.param(403, marks=LONG)])
def test_nothing_can_be_written(world: ApiWorld, status: int, namespace: str) -> None:
    """Neither Lease nor status nor Events, of a hundred Ingresses: asked for ever more rarely, and done in the end."""
    extra = [ingress_of(namespace, number) for number in range(100)]
    with endured(world, name=f"writes end with {status}"):
        begun = time.monotonic()
        with world.proxy.faulty(Storm(status, methods=("POST", "PUT", "PATCH")), cut=False):
            world.control_plane.apply(*extra)
            world.change()
            time.sleep(7)
            asked = world.proxy.asked(begun, lambda request: request.method == "PATCH")
        world.until(world.leads, 3 * ELECTION_SECONDS, "it leads again")
        world.until(lambda: _addresses(world, namespace) == {ADDRESS}, 30, "all have their status")
    assert len(asked) <= 60, "a pass ends after a few refusals"


def ingress_of(namespace: str, number: int) -> Object:
    found = route(f"status-{number}")
    found["metadata"]["namespace"] = namespace
    return found


def _addresses(world: ApiWorld, namespace: str) -> set[str]:
    found = json.loads(world.control_plane.kubectl("get", "ingress", "-n", namespace, "-o", "json"))["items"]
    balancers = [each["status"].get("loadBalancer", {}).get("ingress", [{}]) for each in found]
    return {balancer[0].get("ip", "") for balancer in balancers}


@pytest.fixture
def namespace(world: ApiWorld) -> Iterator[str]:
    """Gone after the test, with all that is in it."""
    world.control_plane.kubectl("create", "namespace", "crowd")
    yield "crowd"
    world.control_plane.kubectl("delete", "namespace", "crowd", "--wait=true")
