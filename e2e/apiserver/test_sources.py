"""What the controller reads of a real API server, with exactly the rights that the chart grants or with fewer."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.k8s.lease import Lease, LeaseMeta, LeaseSpec
from controller.k8s.pages import Page, Verb, decode_line, decode_page
from controller.model.errors import (
    ApiConflict,
    ApiForbidden,
    ApiRefused,
    ApiUnavailable,
    ApiUnreachable,
    ResourceExpired,
)
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.sources.base import PAGE, Api
from controller.sources.cluster import ClusterSource, expected_kinds, read_all
from controller.sources.lists import list_pages
from controller.sources.reflector import WatchStats
from controller.sources.scope import Scope
from controller.sources.transport import Transport, connect
from controller.sources.writer import ApiWriter
from controller.state.events import Applied, Deleted, Event, Synced, Unreadable
from controller.state.store import Store
from controller.tests.live.objects import ingress, key_pair, service, tls_secret
from e2e.apiserver.replica import INGRESS_CLASS
from e2e.chart.rendering import rights
from e2e.controlplane.cluster import ControlPlane, Manifest

IN_TIME = 1.0
"""Seconds from the API server's answer to the store."""

AFTER_OUTAGE = 8.0
"""Seconds from an API server that is ready again to the store: one pause of 5 s and its jitter, then a list."""

SETTINGS = ObjectKey(Kind.CONFIG_MAP, "headrace", "settings")


@pytest.fixture
def account(control_plane: ControlPlane) -> Path:
    """The kubeconfig of the controller's ServiceAccount, with the rights that the chart grants and none else."""
    control_plane.apply(*rights("controller.scope.namespaceSelector=a=b"))
    control_plane.apply(INGRESS_CLASS)
    control_plane.kubectl("wait", "--for=create", "serviceaccount/headrace", "-n", "headrace", "--timeout=30s")
    return control_plane.kubeconfig_for("headrace", "headrace")


class Reading:
    """A source that tells a store, in a thread of its own: programs that a test starts end with the test's thread."""

    def __init__(self, source: ClusterSource, options: Options) -> None:
        self.source, self.store = source, Store(expected_kinds(options))
        self.told: list[Event] = []
        self._loop = asyncio.get_running_loop()

    def emit(self, event: Event) -> None:
        self.told.append(event)
        self.store.apply(event)

    def want(self, keys: frozenset[ObjectKey]) -> None:
        self._loop.call_soon_threadsafe(self.source.want, keys)

    def until(self, condition: Callable[[], bool], seconds: float = IN_TIME) -> float:
        """Seconds waited."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < seconds, f"not so after {seconds} s"
            time.sleep(0.005)
        return time.monotonic() - begun

    def names(self, kind: Kind, namespace: str) -> set[str]:
        snapshot = self.store.snapshot()
        found = snapshot.ingresses.keys() if kind is Kind.INGRESS else snapshot.secrets.keys()
        return {key.name for key in found if key.namespace == namespace}

    def has(self, key: ObjectKey) -> bool:
        return self.store.object(key) is not None

    def stats(self, kind: Kind) -> WatchStats:
        return next(stats for stats in self.source.stats() if stats.kind is kind)


@asynccontextmanager
async def opened(kubeconfig: Path) -> AsyncIterator[Transport]:
    transport = await connect(str(kubeconfig))
    try:
        yield transport
    finally:
        await transport.close()


@contextmanager
def reading(
    kubeconfig: Path, options: Options, wrap: Callable[[Transport], Api] = lambda api: api
) -> Iterator[Reading]:
    """Entered when everything that exists has been told."""
    started: Future[tuple[Reading, Callable[[], object]]] = Future()

    async def run() -> None:
        async with opened(kubeconfig) as transport:
            made = Reading(ClusterSource(wrap(transport), options), options)
            task = asyncio.create_task(made.source.run(made.emit))
            loop = asyncio.get_running_loop()
            started.set_result((made, lambda: loop.call_soon_threadsafe(task.cancel)))
            await asyncio.wait({task})

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    made, stop = started.result(10)
    try:
        made.until(lambda: made.store.ready, 10)
        yield made
    finally:
        stop()
        thread.join(10)


def web(namespace: str, name: str = "web", **spec: Any) -> Manifest:
    return ingress(name, (f"{name}.{namespace}.test", "/", "Prefix", "web"), namespace=namespace, **spec)


def opaque(name: str, namespace: str, text: str = "x") -> Manifest:
    data = {"auth": base64.b64encode(text.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data}


def settings_map(**data: str) -> Manifest:
    metadata = {"name": SETTINGS.name, "namespace": SETTINGS.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_what_exists_is_told_then_every_change(control_plane: ControlPlane, account: Path, namespace: str) -> None:
    tls = [{"hosts": ["a.test"], "secretName": "pair"}, {"hosts": ["b.test"], "secretName": "opaque"}]
    pair = tls_secret("pair", key_pair("a.test"), namespace)
    control_plane.apply(
        web(namespace, tls=tls), service("web", namespace), pair, opaque("opaque", namespace),
        opaque("other", namespace),
    )  # fmt: skip
    with reading(account, Options(configmap=SETTINGS, watch_namespace_selector="a=b")) as run:
        assert run.names(Kind.INGRESS, namespace) == {"web"}
        assert run.names(Kind.SECRET, namespace) == {"pair", "opaque"}, "those of the type, and those with a user"
        assert any(key.name == "headrace" for key in run.store.snapshot().classes)
        assert ObjectKey(Kind.NAMESPACE, "", namespace) in run.store.snapshot().namespaces
        assert run.store.snapshot().unreadable == frozenset()

        control_plane.apply(web(namespace, "second"))
        took = run.until(lambda: run.names(Kind.INGRESS, namespace) == {"web", "second"})
        print(f"a new Ingress was in the store {took:.3f} s after kubectl had ended")
        control_plane.kubectl("delete", "ingress", "web", "-n", namespace)
        run.until(lambda: run.names(Kind.INGRESS, namespace) == {"second"})
        control_plane.apply(settings_map(**{"use-gzip": "true"}))
        run.until(lambda: run.has(SETTINGS))
        control_plane.kubectl("delete", "configmap", SETTINGS.name, "-n", SETTINGS.namespace)
        run.until(lambda: not run.has(SETTINGS))
        assert all(stats.connected and stats.relists >= 1 for stats in run.source.stats())


def test_a_secret_may_change_its_type(control_plane: ControlPlane, account: Path, namespace: str) -> None:
    key = ObjectKey(Kind.SECRET, namespace, "pair")
    pair = tls_secret("pair", key_pair("a.test"), namespace)
    control_plane.apply(web(namespace, tls=[{"secretName": "pair"}]), opaque("pair", namespace))
    with reading(account, Options()) as run:
        run.want(frozenset({key}))
        before = run.store.object(key)
        for made in (pair, opaque("pair", namespace, "y"), pair, opaque("pair", namespace, "z")):
            control_plane.kubectl("replace", "--force", "-f", "-", input=json.dumps(made))
            run.until(lambda: run.has(key) and run.store.object(key) != before)  # noqa: B023
            before = run.store.object(key)
        run.want(frozenset())
        run.until(lambda: not run.has(key))


def test_thousands_of_secrets_that_do_not_exist_are_looked_for_in_good_order(
    control_plane: ControlPlane, account: Path, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    with reading(account, Options()) as run:
        begun = time.monotonic()
        run.want(frozenset(ObjectKey(Kind.SECRET, namespace, f"missing-{n}") for n in range(2_000)))
        run.until(lambda: run.stats(Kind.SECRET).relists > 2_000, 60)
        print(f"2,000 missing Secrets were looked for in {time.monotonic() - begun:.1f} s")
        run.want(frozenset())
    assert not caplog.records


def test_one_namespace_needs_no_more_than_its_own_rights(control_plane: ControlPlane, namespace: str) -> None:
    place, rights = f"--namespace={namespace}", "ingresses.networking.k8s.io,services,endpointslices.discovery.k8s.io"
    control_plane.kubectl("create", "role", "reader", "--verb=list,watch", f"--resource={rights},secrets", place)
    binding = ("--role=reader", f"--serviceaccount={namespace}:default")
    control_plane.kubectl("create", "rolebinding", "reader", *binding, place)
    control_plane.apply(web(namespace), web("default"))
    try:
        with reading(control_plane.kubeconfig_for(namespace, "default"), Options(watch_namespace=namespace)) as run:
            assert {key.namespace for key in run.store.snapshot().ingresses} == {namespace}
            assert run.store.snapshot().unreadable == {Kind.INGRESS_CLASS}
            control_plane.apply(web(namespace, "second"))
            run.until(lambda: run.names(Kind.INGRESS, namespace) == {"web", "second"})
    finally:
        control_plane.kubectl("delete", "ingress", "web", "--namespace=default")


def test_without_the_right_to_list_secrets_everything_else_works(control_plane: ControlPlane, namespace: str) -> None:
    place, rights = f"--namespace={namespace}", "ingresses.networking.k8s.io,services,endpointslices.discovery.k8s.io"
    subject = f"--serviceaccount={namespace}:default"
    control_plane.kubectl("create", "role", "reader", "--verb=list,watch", f"--resource={rights}", place)
    control_plane.kubectl("create", "rolebinding", "reader", "--role=reader", subject, place)
    names = ("--verb=list,watch", "--resource=secrets", "--resource-name=pair")
    control_plane.kubectl("create", "role", "named", *names, place)
    control_plane.kubectl("create", "rolebinding", "named", "--role=named", subject, place)
    pair = tls_secret("pair", key_pair("a.test"), namespace)
    control_plane.apply(web(namespace, tls=[{"secretName": "pair"}]), pair, opaque("other", namespace))
    with reading(control_plane.kubeconfig_for(namespace, "default"), Options(watch_namespace=namespace)) as run:
        assert Kind.SECRET in run.store.snapshot().unreadable
        assert run.names(Kind.SECRET, namespace) == {"pair"}, "a Role with resourceNames gives it by name"


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_what_changed_while_the_api_server_was_away_is_told_soon_after(
    control_plane: ControlPlane, account: Path, namespace: str, kill: bool
) -> None:
    """The new API server serves whoever is first, and deletes what the source could not see go."""
    control_plane.apply(web(namespace, "goes"), web(namespace, "stays"))
    with reading(account, Options()) as run:
        ours = {ObjectKey(Kind.INGRESS, namespace, name) for name in ("goes", "stays")}
        control_plane.stop_apiserver(kill=kill)
        time.sleep(6)
        assert {key for key in run.store.snapshot().ingresses if key.namespace == namespace} == ours
        assert not run.stats(Kind.INGRESS).connected
        before = len(run.told)
        control_plane.start_apiserver()
        control_plane.kubectl("delete", "ingress", "goes", "-n", namespace)
        control_plane.apply(web(namespace, "comes"))
        took = run.until(lambda: run.names(Kind.INGRESS, namespace) == {"stays", "comes"}, AFTER_OUTAGE)
        print(f"changes after the outage were in the store {took:.2f} s after kubectl had ended")
        gone = [event.key for event in run.told[before:] if isinstance(event, Deleted)]
        assert [key for key in gone if key.namespace == namespace] == [ObjectKey(Kind.INGRESS, namespace, "goes")]
        assert not any(isinstance(event, Unreadable) for event in run.told)


@pytest.mark.usefixtures("network")
def test_a_version_that_was_compacted_away_costs_a_list_and_nothing_else(tmp_path: Path) -> None:
    """Without its watch cache the API server asks etcd, whose compaction ends lists and watches with 410."""
    with ControlPlane(tmp_path, etcd_compaction_interval="1s", apiserver_flags=["--watch-cache=false"]) as own:
        own.apply(web("default", "goes"), *(web("default", f"i{number}") for number in range(4)))
        first = asyncio.run(_first_page(own.admin_kubeconfig))
        own.kubectl("delete", "ingress", "goes")
        deadline = time.monotonic() + 30
        while asyncio.run(_serves(own.admin_kubeconfig, first)):  # each turn writes: compaction spares the latest
            assert time.monotonic() < deadline
            own.apply(turn(str(time.monotonic())))
        with reading(own.admin_kubeconfig, Options(), lambda api: _LongAgo(api, first.version)) as run:
            run.until(lambda: run.stats(Kind.INGRESS).relists == 2, 5)
            own.apply(web("default", "after"))
            run.until(lambda: run.names(Kind.INGRESS, "default") == {"i0", "i1", "i2", "i3", "after"})
            assert not any(isinstance(event, Deleted) for event in run.told)


def turn(text: str) -> Manifest:
    metadata = {"name": "turn", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"turn": text}}


async def _first_page(kubeconfig: Path) -> Page:
    async with opened(kubeconfig) as api:
        return decode_page(Kind.INGRESS, await api.list_page(Scope(Kind.INGRESS), limit=2))


async def _serves(kubeconfig: Path, first: Page) -> bool:
    """Whether a watch from the version of this page is still to be had."""
    async with opened(kubeconfig) as api:
        try:
            async with api.watch(Scope(Kind.INGRESS), first.version, 1) as lines:
                found = [decode_line(Kind.INGRESS, line) async for line in lines]
        except ResourceExpired:
            return False
    return Verb.EXPIRED not in {line.verb for line in found}


class _LongAgo:
    """The real API server, but the first watch of Ingresses begins at a version of long ago."""

    def __init__(self, api: Transport, version: str) -> None:
        self._api, self._version = api, version

    async def list_page(self, scope: Scope, more: str = "", limit: int = PAGE) -> bytes:
        return await self._api.list_page(scope, more, limit)

    @asynccontextmanager
    async def watch(self, scope: Scope, version: str, seconds: int) -> AsyncIterator[AsyncIterator[bytes]]:
        if scope.kind is Kind.INGRESS and self._version:
            version, self._version = self._version, ""
        async with self._api.watch(scope, version, seconds) as lines:
            yield lines


async def test_pages_of_a_list_hold_everything_once(control_plane: ControlPlane, account: Path, namespace: str) -> None:
    control_plane.apply(*(web(namespace, f"i{number}") for number in range(7)))
    async with opened(account) as api:
        pages = [page async for page in list_pages(api, Scope(Kind.INGRESS, namespace), 3)]
    assert [len(page.items) for page in pages] == [3, 3, 1]
    assert sorted(item.key.name for page in pages for item in page.items) == [f"i{number}" for number in range(7)]
    assert len({page.version for page in pages}) == 1


async def test_a_watch_ends_when_it_was_to_and_tells_what_happened_since_its_version(
    control_plane: ControlPlane, account: Path, namespace: str
) -> None:
    scope = Scope(Kind.INGRESS, namespace)
    async with opened(account) as api:
        page = decode_page(Kind.INGRESS, await api.list_page(scope))
        control_plane.apply(web(namespace))
        begun = time.monotonic()
        async with api.watch(scope, page.version, 3) as lines:
            heard = [decode_line(Kind.INGRESS, line) async for line in lines]
    assert [line.decoded.key.name for line in heard if line.decoded] == ["web"]
    assert 2 <= time.monotonic() - begun <= 6


async def test_an_exec_plugin_gives_a_new_token_when_the_old_one_is_refused(
    control_plane: ControlPlane, account: Path
) -> None:
    kubeconfig = control_plane.exec_kubeconfig_for("headrace", "headrace")
    credential = kubeconfig.with_suffix(".credential")
    good = credential.read_text()
    token = json.loads(good)["status"]["token"]
    credential.write_text(good.replace(token, "stale"))
    async with opened(kubeconfig) as api:
        with pytest.raises(ApiUnavailable, match="401"):
            await api.list_page(Scope(Kind.INGRESS))
        credential.write_text(good)
        assert decode_page(Kind.INGRESS, await api.list_page(Scope(Kind.INGRESS))).version


async def test_a_client_certificate_says_who_we_are(control_plane: ControlPlane) -> None:
    async with opened(control_plane.admin_kubeconfig) as api:
        assert decode_page(Kind.INGRESS, await api.list_page(Scope(Kind.INGRESS))).version
    async with opened(control_plane.client_kubeconfig("somebody")) as api:
        with pytest.raises(ApiForbidden, match="somebody"):
            await api.list_page(Scope(Kind.INGRESS))


async def test_nobody_there_is_told_apart(tmp_path: Path, account: Path) -> None:
    wrong = tmp_path / "kubeconfig"
    content = json.loads(account.read_text())
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    wrong.write_text(json.dumps(content))
    async with opened(wrong) as api:
        with pytest.raises(ApiUnreachable):
            await api.list_page(Scope(Kind.INGRESS))


async def test_the_controller_may_not_do_what_it_does_not_do(account: Path, namespace: str) -> None:
    async with opened(account) as api:
        with pytest.raises(ApiForbidden):
            await api.list_page(Scope(Kind.POD, namespace))
        with pytest.raises(ApiForbidden):
            await api.send("DELETE", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/web")
        with pytest.raises(ApiForbidden):
            await ApiWriter(api).get_lease(namespace, "headrace")


async def test_everything_once(control_plane: ControlPlane, account: Path, namespace: str) -> None:
    control_plane.apply(web(namespace, tls=[{"secretName": "opaque"}]), opaque("opaque", namespace))
    events = await read_all(str(account), Options())
    applied = {event.key for event in events if isinstance(event, Applied)}
    assert {ObjectKey(Kind.INGRESS, namespace, "web"), ObjectKey(Kind.SECRET, namespace, "opaque")} <= applied
    assert {event.kind for event in events if isinstance(event, Synced)} == expected_kinds(Options())


async def test_leases_are_written_by_one_at_a_time(account: Path) -> None:
    async with opened(account) as api:
        writer = ApiWriter(api)
        assert await writer.get_lease("headrace", "sources") is None
        made = await writer.create_lease(Lease(LeaseMeta("sources", "headrace"), LeaseSpec("a", 15)))
        assert made.metadata.resource_version
        with pytest.raises(ApiConflict):
            await writer.create_lease(Lease(LeaseMeta("sources", "headrace"), LeaseSpec("b", 15)))
        second = await writer.replace_lease(Lease(made.metadata, LeaseSpec("b", 15)))
        assert second.spec.holder_identity == "b"
        with pytest.raises(ApiConflict):
            await writer.replace_lease(Lease(made.metadata, LeaseSpec("c", 15)))


async def test_status_and_events_are_written(control_plane: ControlPlane, account: Path, namespace: str) -> None:
    control_plane.apply(web(namespace))
    async with opened(account) as api:
        writer = ApiWriter(api)
        for entries in ([{"ip": "192.0.2.1"}, {"hostname": "lb.test"}], []):
            await writer.patch_ingress_status(namespace, "web", entries)
            found = json.loads(control_plane.kubectl("get", "ingress", "web", "-n", namespace, "-o", "json"))
            assert found["status"]["loadBalancer"].get("ingress", []) == entries
        with pytest.raises(ApiRefused) as caught:
            await writer.patch_ingress_status(namespace, "nobody", [])
        assert caught.value.status == 404
        about = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web", "namespace": namespace}
        event = {"metadata": {"generateName": "web."}, "involvedObject": about, "reason": "Sync", "type": "Normal"}
        await writer.create_event(namespace, event)
    found = json.loads(control_plane.kubectl("get", "events", "-n", namespace, "-o", "json"))["items"]
    assert "Sync" in {each["reason"] for each in found if each["involvedObject"]["name"] == "web"}


async def test_nodes_and_own_pods_are_listed(account: Path) -> None:
    async with opened(account) as api:
        assert await ApiWriter(api).list_nodes() is not None
        assert list(await ApiWriter(api).list_pods("headrace", "app=nobody")) == []
