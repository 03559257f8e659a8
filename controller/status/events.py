"""Tells the owners of objects by Kubernetes Events: what is wrong with an object, and that an Ingress was taken in.

Each finding is told once while it lasts, by the leader alone; a new leader tells those that stand. Sending is bounded:
a queue with an end and a fixed rate, so that a cluster full of mistakes costs the API server little. What does not fit
is counted and dropped: Events are a courtesy, the log and the metrics have everything.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, Never, Protocol

from controller.k8s.codec import NAMELESS, Struct
from controller.k8s.meta import ObjectMeta
from controller.model.diagnostics import EFFECT_TEXT, Diagnostic, Severity
from controller.model.errors import HeadraceError
from controller.model.refs import Kind, ObjectKey
from controller.state.store import Store

logger = logging.getLogger(__name__)

COMPONENT = "headrace"
LONGEST = 1024
"""Bytes of a message in UTF-8."""

WAITING = 1000
"""Events that wait at most."""

RATE = 10.0
"""Events in a second."""

_API_VERSIONS = {
    Kind.INGRESS: "networking.k8s.io/v1",
    Kind.INGRESS_CLASS: "networking.k8s.io/v1",
    Kind.ENDPOINT_SLICE: "discovery.k8s.io/v1",
}
"""All other kinds are of the core group."""


class EventApi(Protocol):
    async def create_event(self, namespace: str, body: dict[str, Any]) -> None:
        """Raises the `Api…` errors."""
        ...


class Notice(NamedTuple):
    """What an Event says about an object. `warning` decides between the two types that Kubernetes has."""

    object: ObjectKey
    reason: str
    message: str
    warning: bool = False


class EventSender:
    """`leading` decides who talks. The store tells which object of that name is meant."""

    def __init__(
        self,
        api: EventApi,
        store: Store,
        leading: Callable[[], bool],
        *,
        instance: str = "",
        sync_events: bool = True,
        rate: float = RATE,
        waiting: int = WAITING,
    ) -> None:
        self._api, self._store, self._leading = api, store, leading
        self._instance, self._sync_events = instance, sync_events
        self._pause, self._most = 1 / rate, waiting
        self._findings: tuple[Diagnostic, ...] = ()
        self._told: set[Diagnostic] = set()
        self._changed: dict[ObjectKey, int] = {}
        self._queue: deque[Notice] = deque()
        self._filled = asyncio.Event()
        self._trouble = ""
        self.dropped = 0

    # -- what others tell

    def touched(self, ingress: ObjectKey) -> None:
        """An Ingress was created or changed, after the first list of them."""
        if self._sync_events:
            self._changed[ingress] = 0

    def round_done(self, ingresses: Iterable[ObjectKey], findings: tuple[Diagnostic, ...]) -> None:
        """A configuration of these Ingresses is in force, and these are all its findings."""
        if findings is not self._findings:
            self._findings = findings
            self._told.intersection_update(findings)
            self.tell_findings()
        if self._changed:
            self._tell_syncs(frozenset(ingresses))

    def tell_findings(self) -> None:
        """Those that were not told yet; to be called when leadership is gained, too."""
        if not self._leading():
            return
        fresh = [finding for finding in self._findings if finding not in self._told]
        self._told.update(fresh)
        for finding in fresh:
            if finding.object.kind is not Kind.FILE and finding.object.name != NAMELESS:
                self._offer(notice_of(finding))

    def _tell_syncs(self, ours: frozenset[ObjectKey]) -> None:
        """A round under way when an Ingress came does not have it yet: the next one counts."""
        for key, rounds in list(self._changed.items()):
            if key in ours or rounds:
                del self._changed[key]
            else:
                self._changed[key] = rounds + 1
            if key in ours and self._leading():
                self._offer(Notice(key, "Sync", "Scheduled for sync"))

    def _offer(self, notice: Notice) -> None:
        if len(self._queue) < self._most:
            self._queue.append(notice)
            self._filled.set()
            return
        if not self.dropped:
            logger.warning("too many events, some are not sent", extra={"waiting": self._most})
        self.dropped += 1

    # -- the loop

    async def run(self) -> Never:
        """Until cancelled. What waits when leadership is lost is forgotten: the next leader tells it."""
        while True:
            await self._filled.wait()
            while self._queue:
                notice = self._queue.popleft()
                if self._leading():
                    await self._send(notice)
                    await asyncio.sleep(self._pause)
            self._filled.clear()

    async def _send(self, notice: Notice) -> None:
        """Not tried again: an Event that comes minutes late helps nobody."""
        body = event_of(
            notice, self._store.object(notice.object), datetime.now(UTC), secrets.token_hex(8), self._instance
        )
        try:
            await self._api.create_event(body["metadata"]["namespace"], body)
            self._trouble = ""
        except HeadraceError as error:
            if type(error).__name__ != self._trouble:
                logger.warning("event not sent", extra={"object": notice.object, "error": str(error)})
            self._trouble = type(error).__name__


def notice_of(finding: Diagnostic) -> Notice:
    """The reason is the code in CamelCase; the message says where, what, what traffic does and what to do."""
    where = f"{finding.field}: " if finding.field.text else ""
    message = " ".join(filter(None, (f"{where}{finding.message}", EFFECT_TEXT[finding.effect], finding.hint)))
    reason = "".join(word.capitalize() for word in finding.code.split("-"))
    return Notice(finding.object, reason, _shortened(message), finding.severity is not Severity.INFO)


def event_of(notice: Notice, known: Struct | None, now: datetime, suffix: str, instance: str = "") -> dict[str, Any]:
    """An Event of core/v1; `now` is aware. On objects without a namespace it stands in `default`, as kubectl expects.

    https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
    """
    key, time = notice.object, now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    meta = known.metadata if known is not None else None
    involved = {
        "apiVersion": _API_VERSIONS.get(key.kind, "v1"),
        "kind": str(key.kind),
        "name": key.name,
        "namespace": key.namespace,
        "uid": meta.uid if isinstance(meta, ObjectMeta) else "",
        "resourceVersion": meta.resource_version if meta else "",
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:230]}.{suffix}", "namespace": key.namespace or "default"},
        "involvedObject": {name: text for name, text in involved.items() if text},
        "type": "Warning" if notice.warning else "Normal",
        "reason": notice.reason,
        "message": notice.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def _shortened(text: str) -> str:
    raw = text.encode()
    return text if len(raw) <= LONGEST else raw[: LONGEST - 3].decode(errors="ignore") + "…"
