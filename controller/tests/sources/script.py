"""An API server that says what it is told to say, and a clock that takes no time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from controller.sources.base import PAGE
from controller.sources.reflector import Clock
from controller.sources.scope import Scope

Answer = bytes | Exception


def document(name: str, version: str = "1", namespace: str = "team", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version}, **more}


def page(*items: dict[str, Any], version: str = "10", more: str = "") -> bytes:
    return json.dumps({"metadata": {"resourceVersion": version, "continue": more}, "items": items}).encode()


def line(verb: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": verb, "object": item}).encode()


def bookmark(version: str) -> bytes:
    return line("BOOKMARK", {"metadata": {"resourceVersion": version}})


def failure(code: int) -> bytes:
    return line("ERROR", {"kind": "Status", "code": code, "message": f"code {code}"})


@dataclass
class Stream:
    """What one watch says. It ends then, or breaks, or stays open."""

    lines: tuple[bytes, ...] = ()
    then: Exception | None = None
    lasts: float = 250.0
    stays: bool = False


@dataclass
class Script:
    """Answers in their order; when they have run out the caller waits for ever, and `exhausted` is set."""

    lists: list[Answer] = field(default_factory=list)
    watches: list[Stream | Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    exhausted: asyncio.Event = field(default_factory=asyncio.Event)
    now: float = 1000.0

    @property
    def clock(self) -> Clock:
        return Clock(self._sleep, lambda low, high: (low + high) / 2, lambda: self.now, lambda: self.now)

    async def list_page(self, scope: Scope, more: str = "", limit: int = PAGE) -> bytes:
        self.asked.append(f"list limit={limit}" + (f" more={more}" if more else ""))
        if not self.lists:
            await self._wait()
        answer = self.lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def watch(self, scope: Scope, version: str, seconds: int) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked.append(f"watch from={version}")
        if not self.watches:
            await self._wait()
        stream = self.watches.pop(0)
        if isinstance(stream, Exception):
            raise stream
        yield self._lines(stream)

    async def _lines(self, stream: Stream) -> AsyncIterator[bytes]:
        for text in stream.lines:
            yield text
        if stream.stays:
            await self._wait()
        self.now += stream.lasts
        if stream.then is not None:
            raise stream.then

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 2))
        self.now += seconds
        await asyncio.sleep(0)

    async def _wait(self) -> None:
        self.exhausted.set()
        await asyncio.Event().wait()
