"""What a change to one object means, and what the store keeps when an object turns bad."""

from __future__ import annotations

from typing import Any

import pytest

from controller.k8s.codec import Struct, decode_document, unreadable
from controller.model.diagnostics import Effect
from controller.model.refs import Kind, ObjectKey
from controller.state.events import Applied, Deleted, Event, Rejected, Synced, Unreadable
from controller.state.store import NOTHING, Change, Store

EXPECTED = frozenset({Kind.INGRESS, Kind.SERVICE, Kind.SECRET})
WEB = ObjectKey(Kind.SERVICE, "team", "web")
SHOP = ObjectKey(Kind.SERVICE, "team", "shop")
SLICE = ObjectKey(Kind.ENDPOINT_SLICE, "team", "web-1")
INGRESS = ObjectKey(Kind.INGRESS, "team", "a")
CONFIG = Change(config=True)


def built(kind: Kind, name: str, meta: dict[str, Any] | None = None, **more: Any) -> Struct:
    found = decode_document(kind, {"metadata": {"name": name, "namespace": "team", **(meta or {})}, **more})
    assert found.object is not None, found.finding
    return found.object


def applied(kind: Kind, name: str, meta: dict[str, Any] | None = None, **more: Any) -> Applied:
    return Applied(ObjectKey(kind, "team", name), built(kind, name, meta, **more))


def ingress(meta: dict[str, Any] | None = None, **more: Any) -> Applied:
    return applied(Kind.INGRESS, "a", meta, **more)


def piece(address: str, service: str = "web", meta: dict[str, Any] | None = None, name: str = "web-1") -> Applied:
    meta = {**(meta or {}), "labels": {"kubernetes.io/service-name": service} if service else {}}
    return applied(Kind.ENDPOINT_SLICE, name, meta, endpoints=[{"addresses": [address]}], ports=[{"port": 80}])


def after(*events: Event) -> Store:
    store = Store(EXPECTED)
    for event in events:
        store.apply(event)
    return store


SPEC = {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}
STATUS = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}


@pytest.mark.parametrize(
    ("before", "event", "change"),
    [
        pytest.param([], ingress(), CONFIG, id="new"),
        pytest.param([ingress()], ingress(), NOTHING, id="same"),
        pytest.param([ingress()], ingress({"resourceVersion": "2", "generation": 2}), NOTHING, id="version"),
        pytest.param([ingress()], ingress(status=STATUS), NOTHING, id="status"),
        pytest.param([ingress()], ingress(spec=SPEC), CONFIG, id="spec"),
        pytest.param([ingress()], ingress({"annotations": {"a": "b"}}), CONFIG, id="annotation"),
        pytest.param([ingress({"uid": "1"})], ingress({"uid": "2"}), CONFIG, id="made-anew"),
        pytest.param([ingress()], Deleted(INGRESS), CONFIG, id="deleted"),
        pytest.param([], Deleted(INGRESS), NOTHING, id="never-there"),
        pytest.param([], applied(Kind.SERVICE, "web"), Change(True, (WEB,)), id="service"),
        pytest.param([applied(Kind.SERVICE, "web")], applied(Kind.SERVICE, "web", status=STATUS), NOTHING,
                     id="service-status"),
        pytest.param([applied(Kind.SERVICE, "web")], Deleted(WEB), Change(True, (WEB,)), id="service-deleted"),
        pytest.param([], piece("10.0.0.1"), Change(False, (WEB,)), id="slice"),
        pytest.param([piece("10.0.0.1")], piece("10.0.0.1"), NOTHING, id="slice-same"),
        pytest.param([piece("10.0.0.1")], piece("10.0.0.1", meta={"annotations": {"stamp": "1"}}), NOTHING,
                     id="slice-stamped"),
        pytest.param([piece("10.0.0.1")], piece("10.0.0.2"), Change(False, (WEB,)), id="slice-changed"),
        pytest.param([piece("10.0.0.1")], piece("10.0.0.1", "shop"), Change(False, (WEB, SHOP)), id="slice-moved"),
        pytest.param([piece("10.0.0.1")], piece("10.0.0.1", ""), Change(False, (WEB,)), id="slice-of-nobody"),
        pytest.param([piece("10.0.0.1")], Deleted(SLICE), Change(False, (WEB,)), id="slice-deleted"),
        pytest.param([], applied(Kind.NODE, "n", status={}), NOTHING, id="node"),
        pytest.param([], applied(Kind.POD, "p"), NOTHING, id="pod"),
        pytest.param([], Synced(Kind.INGRESS), CONFIG, id="synced"),
        pytest.param([Synced(Kind.INGRESS)], Synced(Kind.INGRESS), NOTHING, id="synced-again"),
        pytest.param([Unreadable(Kind.SECRET)], Unreadable(Kind.SECRET), NOTHING, id="still-unreadable"),
        pytest.param([Unreadable(Kind.SECRET)], Synced(Kind.SECRET), CONFIG, id="readable-at-last"),
    ],
)  # fmt: skip
def test_what_an_event_changes(before: list[Event], event: Event, change: Change) -> None:
    assert after(*before).apply(event) == change


def test_what_changes_nothing_is_kept_all_the_same() -> None:
    store = after(ingress(), ingress({"resourceVersion": "2"}, status=STATUS))
    found = store.ingresses()[INGRESS]
    assert found.metadata.resource_version == "2"
    assert found.status.load_balancer.ingress[0].ip == "192.0.2.1"


def test_a_bad_version_keeps_the_good_one_and_says_so() -> None:
    finding = unreadable(INGRESS, "Expected `array`.", "spec.rules")
    store = after(ingress(spec=SPEC))
    assert store.apply(Rejected(INGRESS, finding)) == CONFIG
    snapshot = store.snapshot()
    assert snapshot.ingresses[INGRESS].spec.default_backend is not None
    assert [found.effect for found in snapshot.findings[INGRESS]] == [Effect.PREVIOUS_VERSION_SERVED]
    assert store.apply(Rejected(INGRESS, finding)) == NOTHING
    assert store.apply(ingress(spec=SPEC)) == CONFIG
    assert store.snapshot().findings == {}


def test_an_object_that_never_was_readable_is_ignored() -> None:
    found = after(Rejected(INGRESS, unreadable(INGRESS, "Bad."))).snapshot()
    assert found.ingresses == {}
    assert found.findings[INGRESS][0].effect is Effect.OBJECT_IGNORED


def test_findings_of_decoding_come_and_go_with_their_object() -> None:
    finding = unreadable(INGRESS, "Old.")
    store = after(ingress()._replace(findings=(finding,)))
    assert store.snapshot().findings == {INGRESS: (finding,)}
    assert store.apply(ingress()) == CONFIG
    assert store.snapshot().findings == {}


def test_slices_of_a_service_in_the_order_of_their_names() -> None:
    store = after(piece("10.0.0.2", name="b"), piece("10.0.0.1", name="a"), piece("10.0.0.3", "shop", name="c"))
    assert [found.metadata.name for found in store.slices_of(WEB)] == ["a", "b"]
    store.apply(Deleted(ObjectKey(Kind.ENDPOINT_SLICE, "team", "a")))
    assert [found.metadata.name for found in store.slices_of(WEB)] == ["b"]


def test_ready_when_every_expected_kind_was_read() -> None:
    store = after(Synced(Kind.INGRESS), Synced(Kind.SERVICE))
    assert not store.ready
    assert store.waiting_for == (Kind.SECRET,)
    store.apply(Unreadable(Kind.SECRET))
    assert store.ready
    assert store.snapshot().unreadable == {Kind.SECRET}


def test_without_the_right_to_read_ingresses_nothing_is_built() -> None:
    store = after(Synced(Kind.SERVICE), Synced(Kind.SECRET), Unreadable(Kind.INGRESS))
    assert not store.ready
    assert store.waiting_for == (Kind.INGRESS,)


def test_a_snapshot_does_not_follow_the_store() -> None:
    store = after(ingress())
    snapshot = store.snapshot()
    store.apply(Deleted(INGRESS))
    assert INGRESS in snapshot.ingresses
