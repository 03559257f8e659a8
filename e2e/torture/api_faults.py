"""What an API server, or something between it and us, can do wrong; see `api_proxy.py`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from typing import Any

from e2e.torture.api_wire import Fault, Reply, Request

LISTS = frozenset({"ingresses", "ingressclasses", "services", "endpointslices", "secrets"})
"""What a controller without further flags lists and watches."""

FAR = "9" * 15
"""A version that no object has."""


def event(kind: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


def failure(code: int, reason: str = "") -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no"}


class Slow(Fault):
    """Each answer comes late by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def answer(self, request: Request) -> Reply | None:
        await asyncio.sleep(self._seconds)
        return None


class Trickle(Fault):
    """Lists come in eight pieces with so many seconds after each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def pause(self, request: Request) -> float:
        return self._seconds if request.list else 0.0


class Storm(Fault):
    """Every request is answered with this status; with `retry_after` the server says when to come again."""

    def __init__(self, status: int, *resources: str, methods: tuple[str, ...] = (), retry_after: int = 0) -> None:
        self._status, self._methods = status, methods
        self._headers = {"Retry-After": str(retry_after)} if retry_after else {}
        self.resources = frozenset(resources)

    def meets(self, request: Request) -> bool:
        return super().meets(request) and (not self._methods or request.method in self._methods)

    async def answer(self, request: Request) -> Reply | None:
        return Reply(self._status, json.dumps(failure(self._status)).encode(), self._headers)


class Stranger(Fault):
    """Who does not bring this token is unknown."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def answer(self, request: Request) -> Reply | None:
        known = request.headers.get("authorization") == f"Bearer {self._token}"
        return None if known else Reply(401, json.dumps(failure(401, "Unauthorized")).encode())


class Mute(Fault):
    """Requests stay without an answer, and open watches without another byte."""

    async def answer(self, request: Request) -> Reply | None:
        await asyncio.Event().wait()
        return None

    def line(self, request: Request, line: bytes) -> Iterable[bytes]:
        return ()


class Gone(Fault):
    """Every watch expires at once, or after a bookmark; so do the tokens of lists, which come in small pages."""

    resources = LISTS

    def __init__(self, *, bookmark: bool = False) -> None:
        self._bookmark = bookmark

    def target(self, request: Request) -> str:
        return request.target.replace("limit=500", "limit=2")

    async def answer(self, request: Request) -> Reply | None:
        return Reply(410, json.dumps(failure(410, "Expired")).encode()) if "continue" in request.query else None

    def begin(self, request: Request) -> Iterable[bytes]:
        if self._bookmark:
            yield event("BOOKMARK", {"metadata": {"resourceVersion": request.query["resourceVersion"]}})
        yield event("ERROR", failure(410, "Expired"))


class Unordered(Fault):
    """Each event comes three times, the one before it between and last; objects that never were come and go."""

    resources = LISTS

    def __init__(self) -> None:
        self._before: dict[str, bytes] = {}

    def line(self, request: Request, line: bytes) -> Iterable[bytes]:
        before, self._before[request.resource] = self._before.get(request.resource, b""), line
        ghost = {"metadata": {"name": "ghost", "namespace": "default", "resourceVersion": "1"}}
        pieces = (line, before, line, event("DELETED", ghost), event("MODIFIED", ghost), line, before)
        yield from filter(None, pieces)


class Early(Fault):
    """Watches replay how the world was long ago, before anything else: objects as they were first seen."""

    resources = LISTS

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}

    def line(self, request: Request, line: bytes) -> Iterable[bytes]:
        self._first.setdefault(request.resource, line)
        yield line

    def begin(self, request: Request) -> Iterable[bytes]:
        yield from filter(None, (self._first.get(request.resource),))


class Torn(Fault):
    """Each line is cut in its middle, and the connection with it."""

    resources = LISTS

    def line(self, request: Request, line: bytes) -> Iterable[bytes]:
        yield line[: len(line) // 2]
        yield b""


class Marks(Fault):
    """Each watch begins with a bookmark of this version."""

    resources = LISTS

    def __init__(self, version: Any) -> None:
        self._version = version

    def begin(self, request: Request) -> Iterable[bytes]:
        yield event("BOOKMARK", {"metadata": {"resourceVersion": self._version}})


class Garbage(Fault):
    """Each watch begins with bytes that are none of an API server's, a different kind each time."""

    resources = LISTS

    def __init__(self) -> None:
        self._turn = 0

    def begin(self, request: Request) -> Iterable[bytes]:
        self._turn += 1
        kinds = (
            os.urandom(4000) + b"\n",
            b'{"type":"\xff"}\n',
            b'{"type":"ADDED","object":' + b'{"a":' * 20_000 + b"\n",
            b"<html>\n",
            event("SOMETHING", {}),
            b'{"type":"ADDED","object":null}\n' * 3,
        )
        yield kinds[self._turn % len(kinds)]


class Endless(Fault):
    """Each watch begins with a line of 40 MB."""

    resources = frozenset({"ingresses"})

    def begin(self, request: Request) -> Iterable[bytes]:
        for _ in range(40):
            yield b"x" * 1_000_000


class Huge(Fault):
    """Each watch of Ingresses tells of objects of somebody else, with annotations of a megabyte each."""

    resources = frozenset({"ingresses"})

    def __init__(self, count: int = 20) -> None:
        self._count = count

    def begin(self, request: Request) -> Iterable[bytes]:
        version = int(request.query["resourceVersion"])
        for number in range(self._count):
            metadata = {"name": "huge", "namespace": "default", "resourceVersion": str(version + number)}
            annotations = {"nginx.ingress.kubernetes.io/rewrite-target": "x" * 1_000_000}
            yield event("ADDED", {"metadata": {**metadata, "annotations": annotations}, "spec": {}})
        metadata = {"name": "huge", "namespace": "default", "resourceVersion": str(version + self._count)}
        yield event("DELETED", {"metadata": metadata, "spec": {}})


class Lists(Fault):
    """Lists are wrong so many times for each resource, and watches expire as long as some are to come.

    `how`: `empty`, `short` (the first page is said to be the last), `repeated` (the same page for ever), `bare` (no
    version) and `old` (as it was at first, with the version of then).
    """

    resources = LISTS

    def __init__(self, how: str, times: int = 1) -> None:
        self._how, self._times = how, times
        self._wrong: dict[str, int] = {}
        self._first: dict[str, dict[str, Any]] = {}

    def target(self, request: Request) -> str:
        paged = self._how in ("short", "repeated")
        return request.target.replace("limit=500", "limit=2") if paged else request.target

    def page(self, request: Request, document: dict[str, Any]) -> dict[str, Any]:
        first = self._first.setdefault(request.resource, document)
        if self._wrong.get(request.resource, 0) >= self._times:
            return document
        metadata = document["metadata"]
        if self._how != "repeated":
            self._wrong[request.resource] = self._wrong.get(request.resource, 0) + 1
        match self._how:
            case "empty":
                return {**document, "items": []}
            case "bare":
                return {"metadata": {}, "items": None}
            case "short":
                return {**document, "metadata": {**metadata, "continue": ""}}
            case "repeated":
                return {**first, "metadata": {**metadata, "continue": "again"}}
        return {**first, "metadata": {**first["metadata"], "resourceVersion": "1"}}

    async def answer(self, request: Request) -> Reply | None:
        if self._how == "repeated" and request.query.get("continue") == "again":
            return Reply(200, json.dumps(self.page(request, self._first[request.resource])).encode())
        return None

    def begin(self, request: Request) -> Iterable[bytes]:
        if self._wrong.get(request.resource, 0) < self._times:
            yield event("ERROR", failure(410, "Expired"))


class HalfOpen(Fault):
    """Connections that asked before this moment on the monotonic clock never bring another byte; new ones do."""

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def line(self, request: Request, line: bytes) -> Iterable[bytes]:
        return () if request.at < self._moment else (line,)
