"""What the leader writes into the status of Ingresses, and when it rather writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from controller.k8s.codec import decode_document
from controller.k8s.core import Node, Pod
from controller.model.errors import ApiConflict, ApiForbidden, ApiRefused, ApiUnavailable
from controller.model.refs import Kind, ObjectKey
from controller.state.events import Applied
from controller.state.store import Store
from controller.status import writer as module
from controller.status.writer import StatusOptions, StatusWriter
from controller.tests.status.test_address import node

GIVEN = StatusOptions(given=("192.0.2.7", "lb.example.com"))
FROM_NODES = StatusOptions(pod_namespace="headrace", pod_name="headrace-0")
EXPECTED = [{"hostname": "lb.example.com"}, {"ip": "192.0.2.7"}]
SERVICE = ObjectKey(Kind.SERVICE, "headrace", "ingress")


def replica(name: str, *, on: str = "n1", ready: bool = True, app: str = "headrace") -> Pod:
    wire = {
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"nodeName": on},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }
    return msgspec.convert(wire, Pod)


@dataclass
class Cluster:
    """An API server that patches into the store, as the watch would. `faults` by name of an Ingress."""

    store: Store = field(default_factory=lambda: Store(frozenset()))
    pods: list[Pod] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    list_fault: Exception | None = None
    patches: list[tuple[str, list[dict[str, str]]]] = field(default_factory=list)
    lists: int = 0
    running: int = 0
    most_running: int = 0
    asked: int = 0
    watch_lags: bool = False

    def add(self, name: str, status: list[dict[str, str]] | None = None, version: str = "1") -> ObjectKey:
        meta = {"name": name, "namespace": "shop", "resourceVersion": version}
        document: dict[str, Any] = {"metadata": meta, "status": {"loadBalancer": {"ingress": status or []}}}
        return self._apply(Kind.INGRESS, document)

    def add_service(self, kind: str, *balancer: str) -> None:
        status = {"loadBalancer": {"ingress": [{"ip": ip} for ip in balancer]}}
        meta = {"name": SERVICE.name, "namespace": SERVICE.namespace}
        self._apply(Kind.SERVICE, {"metadata": meta, "spec": {"type": kind}, "status": status})

    def _apply(self, kind: Kind, document: dict[str, Any]) -> ObjectKey:
        decoded = decode_document(kind, document)
        assert decoded.object is not None
        self.store.apply(Applied(decoded.key, decoded.object))
        return decoded.key

    async def patch_ingress_status(self, namespace: str, name: str, load_balancer: list[dict[str, str]]) -> None:
        self.running += 1
        self.asked += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep(0)
        self.running -= 1
        if fault := self.faults.get(name):
            raise fault
        self.patches.append((name, load_balancer))
        if not self.watch_lags:
            self.add(name, load_balancer, version=str(len(self.patches) + 1))

    async def list_pods(self, namespace: str, label_selector: str) -> Sequence[Pod]:
        self.lists += 1
        if self.list_fault:
            raise self.list_fault
        wanted = label_selector.partition("=")[2]
        return [p for p in self.pods if not wanted or (p.metadata.labels or {}).get("app") == wanted]

    async def list_nodes(self) -> Sequence[Node]:
        return self.nodes

    @property
    def patched(self) -> list[str]:
        return [name for name, _ in self.patches]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def writer_of(
    cluster: Cluster, options: StatusOptions = GIVEN, *, leading: bool = True, now: float = 0
) -> StatusWriter:
    return StatusWriter(cluster, cluster.store, options, lambda: leading, clock=lambda: now)


async def test_only_what_differs_is_written_and_only_to_ours(cluster: Cluster) -> None:
    stale = [cluster.add("empty"), cluster.add("old", [{"ip": "192.0.2.1"}]), cluster.add("right", EXPECTED[::-1])]
    cluster.add("foreign")
    writer = writer_of(cluster)
    writer.use([*stale, ObjectKey(Kind.INGRESS, "shop", "gone")])
    assert await writer.write_once()
    assert sorted(cluster.patches) == [("empty", EXPECTED), ("old", EXPECTED)]
    assert await writer.write_once()
    assert len(cluster.patches) == 2


async def test_a_write_that_the_watch_has_not_shown_yet_is_not_repeated(cluster: Cluster) -> None:
    cluster.watch_lags = True
    writer = writer_of(cluster)
    writer.use([cluster.add("shop")])
    await writer.write_once()
    await writer.write_once()
    assert cluster.patched == ["shop"]
    cluster.add("shop", [{"ip": "192.0.2.66"}], version="5")
    await writer.write_once()
    assert cluster.patched == ["shop", "shop"], "somebody else changed it after us"


async def test_failures_are_tried_again_and_logged_once(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    writer = writer_of(cluster)
    writer.use([cluster.add("good"), cluster.add("bad"), cluster.add("gone")])
    cluster.faults = {"bad": ApiForbidden("no"), "gone": ApiRefused("not found", 404)}
    with caplog.at_level(logging.WARNING):
        assert not await writer.write_once()
        assert not await writer.write_once()
    assert [r.message for r in caplog.records] == ["status not written"]
    cluster.faults = {}
    assert await writer.write_once()
    assert sorted(cluster.patched) == ["bad", "gone", "good"]


@pytest.mark.parametrize("fault", [ApiForbidden("no"), ApiConflict("409"), ApiUnavailable("503")])
async def test_a_server_that_refuses_all_is_not_asked_for_each(cluster: Cluster, fault: Exception) -> None:
    writer = writer_of(cluster)
    writer.use([cluster.add(f"shop-{number}") for number in range(500)])
    cluster.faults = {f"shop-{number}": fault for number in range(500)}
    assert not await writer.write_once()
    assert cluster.asked <= module.MOST_FAULTS + module.AT_ONCE


async def test_those_that_are_refused_keep_nobody_waiting(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    writer.use([cluster.add(f"bad-{number}") for number in range(30)] + [cluster.add("good")])
    cluster.faults = {f"bad-{number}": ApiRefused("invalid", 422) for number in range(30)}
    for _ in range(4):
        assert not await writer.write_once()
    assert cluster.patched == ["good"]


async def test_a_server_that_refuses_is_asked_ever_more_rarely(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    writer.use([cluster.add("shop")])
    cluster.faults = {"shop": ApiConflict("409")}
    pauses = []
    for _ in range(6):
        await writer.write_once()
        pauses.append(writer.respite)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    cluster.faults = {"shop": ApiUnavailable("busy", retry_after=120)}
    await writer.write_once()
    assert writer.respite == 120.0
    cluster.faults = {}
    await writer.write_once()
    assert writer.respite == 0.0


async def test_an_ingress_that_is_gone_meanwhile_is_no_failure(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    writer.use([cluster.add("gone")])
    cluster.faults = {"gone": ApiRefused("not found", 404)}
    assert await writer.write_once()


async def test_few_requests_at_a_time(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    writer.use([cluster.add(f"shop-{number}") for number in range(100)])
    await writer.write_once()
    assert len(cluster.patches) == 100
    assert cluster.most_running == module.AT_ONCE


async def test_nodes_of_pods_like_ours(cluster: Cluster) -> None:
    cluster.nodes = [node(f"n{number}", ExternalIP=f"192.0.2.{number}") for number in range(1, 5)]
    cluster.pods = [
        replica("headrace-0", on="n1"),
        replica("headrace-1", on="n2"),
        replica("headrace-2", on="n3", ready=False),
        replica("other", on="n4", app="other"),
    ]
    writer = writer_of(cluster, FROM_NODES)
    writer.use([cluster.add("shop")])
    assert await writer.write_once()
    assert cluster.patches == [("shop", [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}])]
    asked = cluster.lists
    await writer.write_once()
    assert cluster.lists == asked, "known for an interval"


@pytest.mark.parametrize("fault", [ApiForbidden("no"), ApiUnavailable("away"), None])
async def test_addresses_that_are_not_known_leave_the_status_alone(cluster: Cluster, fault: Exception | None) -> None:
    cluster.list_fault = fault
    cluster.pods = [replica("headrace-0", ready=False)]
    writer = writer_of(cluster, FROM_NODES)
    writer.use([cluster.add("shop", [{"ip": "192.0.2.1"}])])
    assert not await writer.write_once(), "to be tried again soon"
    assert cluster.patches == []


@pytest.mark.parametrize("options", [StatusOptions(), StatusOptions(service=SERVICE)])
async def test_nothing_to_publish_is_said_once(
    cluster: Cluster, options: StatusOptions, caplog: pytest.LogCaptureFixture
) -> None:
    writer = writer_of(cluster, options)
    writer.use([cluster.add("shop", [{"ip": "192.0.2.1"}])])
    with caplog.at_level(logging.WARNING):
        await writer.write_once()
        await writer.write_once()
    assert [r.message for r in caplog.records] == ["no addresses for the status"]
    assert cluster.patches == []


async def test_a_published_service_moves(cluster: Cluster) -> None:
    writer = writer_of(cluster, StatusOptions(service=SERVICE))
    writer.use([cluster.add("shop")])
    for balancer in (("192.0.2.1",), ("192.0.2.2",), ()):
        cluster.add_service("LoadBalancer", *balancer)
        await writer.write_once()
    assert [found for _, found in cluster.patches] == [[{"ip": "192.0.2.1"}], [{"ip": "192.0.2.2"}], []]


@pytest.mark.parametrize(
    ("options", "pods", "leading", "cleared"),
    [
        (StatusOptions(given=("192.0.2.7",), pod_name="headrace-0"), ["headrace-0"], True, True),
        (StatusOptions(given=("192.0.2.7",), pod_name="headrace-0"), ["headrace-0"], False, False),
        (StatusOptions(given=("192.0.2.7",), pod_name="headrace-0"), ["headrace-0", "headrace-1"], True, False),
        (StatusOptions(given=("192.0.2.7", "b.test"), pod_name="headrace-0"), ["headrace-0"], True, False),
        (StatusOptions(given=("192.0.2.7",), pod_name="headrace-0", clear_at_end=False), ["headrace-0"], True, False),
        (StatusOptions(given=("192.0.2.7",)), ["headrace-0"], True, False),
        (StatusOptions(given=("192.0.2.7",), pod_name="nobody"), ["headrace-0"], True, False),
    ],
)
async def test_the_end(cluster: Cluster, options: StatusOptions, pods: list[str], leading: bool, cleared: bool) -> None:
    cluster.pods = [replica(name) for name in pods]
    writer = writer_of(cluster, options, leading=leading)
    writer.use([cluster.add("shop", [{"hostname": "b.test"}, {"ip": "192.0.2.7"}][-len(options.given) :])])
    await writer.write_once()
    await writer.clear()
    assert cluster.patches == ([("shop", [])] if cleared else [])


async def test_the_end_of_the_last_pod_which_is_not_ready_any_more(cluster: Cluster) -> None:
    cluster.nodes = [node("n1", ExternalIP="192.0.2.1")]
    cluster.pods = [replica("headrace-0")]
    now = [0.0]
    writer = StatusWriter(cluster, cluster.store, FROM_NODES, lambda: True, clock=lambda: now[0])
    writer.use([cluster.add("shop")])
    await writer.write_once()
    now[0], cluster.pods = 60.0, [replica("headrace-0", ready=False)]
    await writer.write_once()
    assert cluster.patches == [("shop", [{"ip": "192.0.2.1"}])], "not while it still serves"
    await writer.clear()
    assert cluster.patches[-1] == ("shop", [])


async def test_an_end_without_api_server_is_an_end(cluster: Cluster) -> None:
    writer = writer_of(cluster, StatusOptions(given=("192.0.2.7",), pod_name="headrace-0"))
    writer.use([cluster.add("shop", [{"ip": "192.0.2.7"}])])
    await writer.write_once()
    cluster.list_fault = ApiUnavailable("away")
    await writer.clear()
    assert cluster.patches == []


async def test_the_loop_writes_soon_after_a_change(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE", 0.01)
    role = {"leading": False}
    writer = StatusWriter(cluster, cluster.store, GIVEN, lambda: role["leading"])
    task = asyncio.create_task(writer.run())
    writer.use([cluster.add("first")])
    await asyncio.sleep(0.05)
    assert cluster.patched == [], "a follower writes nothing"
    role["leading"] = True
    writer.stir()
    await asyncio.sleep(0.05)
    assert cluster.patched == ["first"]
    writer.use([cluster.add("first", EXPECTED), cluster.add("second")])
    await asyncio.sleep(0.05)
    assert cluster.patched == ["first", "second"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
