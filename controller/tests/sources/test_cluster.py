"""What is watched of a cluster for which flags, and when a kind counts as read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.model.errors import ApiForbidden
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.sources import by_name
from controller.sources.base import PAGE
from controller.sources.by_name import ByName
from controller.sources.cluster import ClusterSource, expected_kinds, read_scopes, scopes_of
from controller.sources.reflector import Clock
from controller.sources.scope import Scope
from controller.state.events import Applied, Deleted, Event, Synced, Unreadable
from controller.state.store import Store
from controller.tests.sources.script import document, line, page


def secret(name: str, namespace: str = "team") -> ObjectKey:
    return ObjectKey(Kind.SECRET, namespace, name)


@dataclass
class World:
    """Objects by scope, as a cluster that can be changed while it is watched."""

    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    watched: dict[str, asyncio.Queue[bytes]] = field(default_factory=dict)
    turned: asyncio.Event = field(default_factory=asyncio.Event)

    async def list_page(self, scope: Scope, more: str = "", limit: int = PAGE) -> bytes:
        self.asked.append(str(scope))
        await asyncio.sleep(0)
        if str(scope) in self.forbidden:
            raise ApiForbidden("no")
        return page(*self.objects.get(str(scope), []))

    @asynccontextmanager
    async def watch(self, scope: Scope, version: str, seconds: int) -> AsyncIterator[AsyncIterator[bytes]]:
        queue = self.watched.setdefault(str(scope), asyncio.Queue())
        self.turned.set()
        try:
            yield _endless(queue)
        finally:
            del self.watched[str(scope)]
            self.turned.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Looked at whenever a watch opens or ends."""
        async with asyncio.timeout(3):
            while not condition():
                self.turned.clear()
                await self.turned.wait()

    def say(self, scope: str, verb: str, name: str, version: str) -> None:
        self.watched[scope].put_nowait(line(verb, document(name, version)))


async def _endless(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await queue.get()


async def _no_time(seconds: float) -> None:
    await asyncio.sleep(0)


QUICK = Clock(sleep=_no_time)
TLS = "Secret with type=kubernetes.io/tls"


class Run:
    """A source that tells a store."""

    def __init__(self, world: World, options: Options | None = None) -> None:
        self.store = Store(expected_kinds(options or Options()))
        self.told: list[Event] = []
        self.source = ClusterSource(world, options or Options(), clock=QUICK)
        self._news = asyncio.Event()

    async def __aenter__(self) -> Run:
        self._task = asyncio.create_task(self.source.run(self._emit))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _emit(self, event: Event) -> None:
        self.told.append(event)
        self.store.apply(event)
        self._news.set()

    async def until_ready(self) -> None:
        async with asyncio.timeout(3):
            while not self.store.ready:
                self._news.clear()
                await self._news.wait()

    async def until_secrets(self, *names: str) -> None:
        async with asyncio.timeout(3):
            while {key.name for key in self.store.snapshot().secrets} != set(names):
                self._news.clear()
                await self._news.wait()


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (Options(), set()),
        (Options(configmap=ObjectKey(Kind.CONFIG_MAP, "hr", "conf")), {"ConfigMap in hr with metadata.name=conf"}),
        (Options(watch_namespace_selector="a=b"), {"Namespace"}),
        (Options(default_backend_service=ObjectKey(Kind.SERVICE, "hr", "four-oh-four")), set()),
    ],
)
def test_what_is_watched(options: Options, more: set[str]) -> None:
    usual = {"Ingress", "IngressClass", "Service", "EndpointSlice", TLS}
    assert {str(scope) for scope in scopes_of(options)} == usual | more


def test_one_namespace_limits_everything_but_what_flags_name() -> None:
    backend, published = (ObjectKey(Kind.SERVICE, "hr", name) for name in ("four-oh-four", "front"))
    options = Options(watch_namespace="team", default_backend_service=backend)
    assert {str(scope) for scope in scopes_of(options, [published])} == {
        "Ingress in team", "IngressClass", "Service in team", "EndpointSlice in team",
        "Secret in team with type=kubernetes.io/tls",
        "Service in hr with metadata.name=four-oh-four", "Service in hr with metadata.name=front",
        "EndpointSlice in hr with kubernetes.io/service-name=four-oh-four",
        "EndpointSlice in hr with kubernetes.io/service-name=front",
    }  # fmt: skip


async def test_ready_comes_only_with_the_secrets_that_ingresses_name() -> None:
    tls = {"tls": [{"secretName": "opaque"}, {"secretName": "pair"}, {"secretName": "missing"}]}
    world = World({
        "Ingress": [document("a", spec=tls)],
        TLS: [document("pair")],
        "Secret in team with metadata.name=opaque": [document("opaque")],
    })  # fmt: skip
    async with Run(world) as run:
        await run.until_ready()
        assert {key.name for key in run.store.snapshot().secrets} == {"opaque", "pair"}
        assert Synced(Kind.SECRET) == run.told[-1]
    assert "Secret in team with metadata.name=pair" not in world.asked
    assert "Secret" not in world.asked


async def test_ready_comes_only_with_what_annotations_and_keys_name() -> None:
    """Or a route with a password would answer 503 at each start, until its Secret has been looked for."""
    prefix = "nginx.ingress.kubernetes.io"
    annotated = document("a")
    annotated["metadata"]["annotations"] = {
        f"{prefix}/auth-secret": "users", f"{prefix}/auth-tls-secret": "other/ca",
        f"{prefix}/custom-headers": "headers", f"{prefix}/proxy-ssl-secret": "no such name",
    }  # fmt: skip
    settings = "ConfigMap in hr with metadata.name=settings"
    world = World({
        "Ingress": [annotated],
        settings: [document("settings", namespace="hr", data={"add-headers": "hr/more", "hsts": "false"})],
        "Secret in team with metadata.name=users": [document("users")],
        "Secret in other with metadata.name=ca": [document("ca", namespace="other")],
        "ConfigMap in team with metadata.name=headers": [document("headers")],
        "ConfigMap in hr with metadata.name=more": [document("more", namespace="hr")],
    })  # fmt: skip
    async with Run(world, Options(configmap=ObjectKey(Kind.CONFIG_MAP, "hr", "settings"))) as run:
        await run.until_ready()
        found = run.store.snapshot()
        assert {key.path for key in found.secrets} == {"team/users", "other/ca"}
        assert {key.path for key in found.configmaps} == {"hr/settings", "hr/more", "team/headers"}


async def test_without_the_right_to_list_secrets_they_come_by_name() -> None:
    world = World({
        "Ingress": [document("a", spec={"tls": [{"secretName": "pair"}]})],
        "Secret in team with metadata.name=pair": [document("pair")],
    }, {TLS})  # fmt: skip
    async with Run(world) as run:
        await run.until_ready()
        assert Unreadable(Kind.SECRET) in run.told
        assert {key.name for key in run.store.snapshot().secrets} == {"pair"}


async def test_without_the_right_to_list_classes_it_goes_on() -> None:
    async with Run(World(forbidden={"IngressClass"})) as run:
        await run.until_ready()
        assert run.store.snapshot().unreadable == {Kind.INGRESS_CLASS}


async def test_a_service_of_a_flag_that_may_not_be_read_stops_nothing() -> None:
    options = Options(watch_namespace="team", default_backend_service=ObjectKey(Kind.SERVICE, "hr", "x"))
    async with Run(World(forbidden={"Service in hr with metadata.name=x"}), options) as run:
        await run.until_ready()
        assert run.store.snapshot().unreadable == set()


async def test_wanted_secrets_are_followed_and_forgotten() -> None:
    world = World()
    async with Run(world) as run:
        await run.until_ready()
        run.source.want(frozenset({secret("basic")}))
        scope = "Secret in team with metadata.name=basic"
        await world.until(lambda: scope in world.watched)
        world.say(scope, "ADDED", "basic", "11")
        await run.until_secrets("basic")
        run.source.want(frozenset())
        await run.until_secrets()
        assert scope not in world.watched


async def test_a_secret_that_the_type_watch_loses_is_looked_for_by_name() -> None:
    """Deleted as kubernetes.io/tls and made anew as Opaque: the type of a Secret cannot be changed otherwise."""
    world = World({TLS: [document("pair")]})
    async with Run(world) as run:
        await run.until_ready()
        run.source.want(frozenset({secret("pair")}))
        await run.until_secrets("pair")
        world.objects["Secret in team with metadata.name=pair"] = [document("pair", "20")]
        world.say(TLS, "DELETED", "pair", "19")
        await run.until_secrets()
        run.source.want(frozenset({secret("pair")}))
        await run.until_secrets("pair")


async def test_a_secret_that_both_watches_bring_outlives_the_end_of_one() -> None:
    """Missing at first, then made as kubernetes.io/tls: from then on the watch of the type is enough."""
    world, scope = World(), "Secret in team with metadata.name=pair"
    async with Run(world) as run:
        await run.until_ready()
        run.source.want(frozenset({secret("pair")}))
        await world.until(lambda: scope in world.watched)
        for each in (TLS, scope):
            world.say(each, "ADDED", "pair", "11")
        await run.until_secrets("pair")
        await asyncio.sleep(0.01)
        run.source.want(frozenset({secret("pair")}))
        await asyncio.sleep(0.01)
        assert scope not in world.watched
        assert secret("pair") in run.store.snapshot().secrets


async def test_a_secret_that_is_made_anew_with_another_type_is_neither_lost_nor_followed_twice() -> None:
    named = "Secret in team with metadata.name=pair"
    world = World()
    async with Run(world) as run:
        await run.until_ready()
        run.source.want(frozenset({secret("pair")}))
        await world.until(lambda: named in world.watched)
        world.say(named, "ADDED", "pair", "11")
        await run.until_secrets("pair")
        # A life as kubernetes.io/tls that was over before we heard of it.
        world.say(TLS, "ADDED", "pair", "9")
        world.say(TLS, "DELETED", "pair", "10")
        await asyncio.sleep(0.01)
        assert {key.name for key in run.store.snapshot().secrets} == {"pair"}
        world.say(TLS, "ADDED", "pair", "13")
        world.say(named, "DELETED", "pair", "12")
        await world.until(lambda: named not in world.watched)
        assert {key.name for key in run.store.snapshot().secrets} == {"pair"}
        assert Deleted(secret("pair")) not in run.told
        # Without another word from whoever wants it.
        world.objects[named] = [document("pair", "15")]
        world.say(TLS, "DELETED", "pair", "14")
        await run.until_secrets()
        await run.until_secrets("pair")


async def test_beyond_a_bound_wanted_objects_are_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_name, "WATCHES_AT_MOST", 2)
    world, told = World(), list[Event]()
    objects = ByName(world, told.append, lambda _: False)
    objects.want(frozenset(secret(f"s{number}") for number in range(5)))
    task = asyncio.create_task(objects.run())
    async with asyncio.timeout(3):
        await objects.looked()
        await asyncio.sleep(0.01)
    assert len(world.watched) == 2
    assert len(objects.stats) == 5
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_stats_are_one_for_each_kind() -> None:
    async with Run(World({"Ingress": [document("a"), document("b")]})) as run:
        await run.until_ready()
        by_kind = {stats.kind: stats for stats in run.source.stats()}
    assert by_kind.keys() == expected_kinds(Options())
    assert by_kind[Kind.INGRESS].objects == 2
    assert by_kind[Kind.INGRESS].relists == 1


async def test_looking_once_tells_what_may_not_be_read() -> None:
    world = World({"Ingress": [document("a", spec={"tls": [{"secretName": "pair"}]})]}, {"IngressClass", TLS})
    world.objects["Secret in team with metadata.name=pair"] = [document("pair")]
    events = await read_scopes(world, Options())
    assert Unreadable(Kind.INGRESS_CLASS) in events
    assert [event.key.name for event in events if isinstance(event, Applied)] == ["a", "pair"]
    assert not any(isinstance(event, Deleted) for event in events)


async def test_looking_once_without_the_right_to_see_ingresses_is_an_error() -> None:
    with pytest.raises(ApiForbidden):
        await read_scopes(World(forbidden={"Ingress"}), Options())
