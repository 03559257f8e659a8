"""What owners of objects read in `kubectl describe`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from controller.k8s.codec import decode_document
from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.errors import ApiForbidden
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.state.events import Applied
from controller.state.store import Store
from controller.status.events import EventSender, event_of, notice_of

SHOP = ObjectKey(Kind.INGRESS, "shop", "web")


def finding(number: int = 0, **changes: Any) -> Diagnostic:
    fields: dict[str, Any] = {
        "code": "service-not-found",
        "severity": Severity.ERROR,
        "object": SHOP,
        "field": FieldPath("spec.rules[0].http.paths[0]"),
        "message": f"There is no Service s{number}.",
        "effect": Effect.PATH_UNSERVED,
        "hint": "Create it.",
    }
    return Diagnostic(**fields | changes)


@dataclass
class Api:
    fault: Exception | None = None
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def create_event(self, namespace: str, body: dict[str, Any]) -> None:
        assert namespace == body["metadata"]["namespace"]
        if self.fault:
            raise self.fault
        self.sent.append(body)

    @property
    def messages(self) -> list[str]:
        return [body["message"].split(": ")[-1].split(".")[0] for body in self.sent]


def sender_of(api: Api, leading: Callable[[], bool] = lambda: True, **options: Any) -> EventSender:
    return EventSender(api, Store(frozenset()), leading, **{"rate": 1000, **options})


@asynccontextmanager
async def running(sender: EventSender) -> AsyncIterator[None]:
    task = asyncio.create_task(sender.run())
    yield
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_finding_says_where_what_and_what_to_do() -> None:
    notice = notice_of(finding())
    assert notice.reason == "ServiceNotFound"
    assert notice.warning
    assert notice.message == (
        "spec.rules[0].http.paths[0]: There is no Service s0. "
        "This path is not served as written; the rest is served. Create it."
    )
    assert not notice_of(finding(severity=Severity.INFO)).warning
    assert len(notice_of(finding(message="ü" * 3000)).message.encode()) <= 1024


def test_the_event_belongs_to_the_object_that_the_store_knows() -> None:
    known = decode_document(
        Kind.INGRESS, {"metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"}}
    )
    event = event_of(notice_of(finding()), known.object, datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "f00", "headrace-0")
    assert event["metadata"] == {"name": "web.f00", "namespace": "shop"}
    assert event["involvedObject"] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "name": "web",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "7",
    }
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "ServiceNotFound", 1)
    assert event["source"] == {"component": "headrace"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-02T03:04:05Z"


def test_objects_without_namespace_have_their_events_in_default() -> None:
    key = ObjectKey(Kind.INGRESS_CLASS, "", "nginx")
    event = event_of(notice_of(finding(object=key)), None, datetime.now(UTC), "f00")
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"] == {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "name": "nginx"}


async def test_a_finding_is_told_once_while_it_lasts_and_again_when_it_comes_back() -> None:
    api = Api()
    sender = sender_of(api)
    async with running(sender):
        sender.round_done([], (finding(1),))
        sender.round_done([], (finding(1), finding(2)))
        sender.round_done([], (finding(2),))
        sender.round_done([], (finding(1), finding(2)))
    assert [m[-2:] for m in api.messages] == ["s1", "s2", "s1"]


async def test_a_follower_is_silent_and_tells_what_stands_when_it_leads() -> None:
    api, role = Api(), {"leading": False}
    sender = sender_of(api, lambda: role["leading"])
    async with running(sender):
        sender.touched(SHOP)
        sender.round_done([SHOP], (finding(1),))
        sender.round_done([SHOP], (finding(2),))
        await asyncio.sleep(0.02)
        assert api.sent == []
        role["leading"] = True
        sender.tell_findings()
        sender.tell_findings()
    assert [m[-2:] for m in api.messages] == ["s2"]


async def test_files_and_nameless_objects_get_none() -> None:
    api = Api()
    sender = sender_of(api)
    async with running(sender):
        nowhere = (ObjectKey(Kind.FILE, "", "x.yaml"), ObjectKey(Kind.INGRESS, "", "?"))
        sender.round_done([], tuple(finding(object=key) for key in nowhere))
    assert api.sent == []


async def test_sync_events_of_ours_even_if_a_build_was_under_way() -> None:
    api = Api()
    sender = sender_of(api)
    foreign = ObjectKey(Kind.INGRESS, "shop", "foreign")
    async with running(sender):
        sender.touched(SHOP)
        sender.touched(foreign)
        sender.round_done([], ())
        sender.round_done([SHOP], ())
        sender.round_done([SHOP, foreign], ())
    assert [(e["type"], e["reason"], e["message"], e["involvedObject"]["name"]) for e in api.sent] == [
        ("Normal", "Sync", "Scheduled for sync", "web")
    ]


async def test_sync_events_can_be_turned_off() -> None:
    api = Api()
    sender = sender_of(api, sync_events=False)
    async with running(sender):
        sender.touched(SHOP)
        sender.round_done([SHOP], ())
    assert api.sent == []


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    api = Api()
    sender = sender_of(api, waiting=10)
    async with running(sender):
        sender.round_done([], tuple(finding(number) for number in range(25)))
    assert len(api.sent) == 10
    assert sender.dropped == 15


async def test_the_rate_is_bounded() -> None:
    api = Api()
    sender = sender_of(api, rate=20)
    async with running(sender):
        sender.round_done([], tuple(finding(number) for number in range(25)))
        await asyncio.sleep(0.2)
    assert 4 <= len(api.sent) <= 6


async def test_a_refusal_ends_nothing() -> None:
    api = Api(fault=ApiForbidden("no"))
    sender = sender_of(api)
    async with running(sender):
        sender.round_done([], (finding(1),))
        await asyncio.sleep(0.02)
        api.fault = None
        sender.round_done([], (finding(1), finding(2)))
    assert [m[-2:] for m in api.messages] == ["s2"]


async def test_the_uid_comes_from_the_store() -> None:
    api, store = Api(), Store(frozenset())
    built = decode_document(Kind.INGRESS, {"metadata": {"name": "web", "namespace": "shop", "uid": "u-9"}}).object
    assert built is not None
    store.apply(Applied(SHOP, built))
    sender = EventSender(api, store, lambda: True)
    async with running(sender):
        sender.round_done([], (finding(),))
    assert api.sent[0]["involvedObject"]["uid"] == "u-9"
