"""The process behind `Checker`: clients that ask and judge, on an event loop that does nothing else.

    python -m e2e.torture.load    one line of JSON on standard input; ends when that is closed

Writes one line per request: begin on the monotonic clock, seconds, group, host, what was wrong, words; tabs between.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import sys
import time
from asyncio import IncompleteReadError
from collections.abc import Iterator
from typing import TextIO

from e2e.cluster.app.client import BODY, Answer, Connection
from e2e.torture.checker import Group

FLUSH = 0.2


class Wrong(Exception):
    """An answer that is not right: its kind and words about it."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(kind, words)
        self.kind, self.words = kind, words


class Client:
    """One client of a group: one request after the other, the hosts in turn, a kept connection for each."""

    def __init__(self, group: Group, numbers: Iterator[int], record: TextIO, first: int) -> None:
        self._group, self._numbers, self._record = group, numbers, record
        hosts = list(group.hosts)
        self._hosts = itertools.cycle(hosts[first % len(hosts) :] + hosts[: first % len(hosts)])
        self._kept: dict[str, Connection] = {}
        self._context = ssl.create_default_context(cafile=group.root) if group.root else None

    async def run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._ask(next(self._hosts))
            await asyncio.sleep(self._group.pause)
        for connection in self._kept.values():
            connection.close()

    async def _ask(self, host: str) -> None:
        begun, wrong, words = time.monotonic(), "", ""
        try:
            async with asyncio.timeout(self._group.patience):
                await self._once(host)
        except Wrong as fault:
            wrong, words = fault.kind, fault.words
        except (OSError, IncompleteReadError, ValueError, KeyError) as fault:
            wrong, words = _kind(fault), str(fault)
        if wrong:
            self._drop(host)
        clean = " ".join(words.split())
        line = (f"{begun:.6f}", f"{time.monotonic() - begun:.6f}", self._group.name, host, wrong, clean)
        self._record.write("\t".join(line) + "\n")

    async def _once(self, host: str) -> None:
        number = next(self._numbers)
        method = "POST" if self._group.posts and number % 2 else "GET"
        target = f"{self._group.path}/{number}"
        connection = await self._connection(host)
        answer = await connection.ask(host, target, method=method, body=BODY if method == "POST" else b"")
        if self._group.fresh or not answer.kept:
            self._drop(host)
        self._judge(answer, host, method, target)

    async def _connection(self, host: str) -> Connection:
        kept = self._kept.get(host)
        if kept and not kept.ended:
            return kept
        self._drop(host)
        name = host if self._context else None
        opened = await asyncio.open_connection(
            self._group.address, self._group.port, ssl=self._context, server_hostname=name
        )
        self._kept[host] = Connection(*opened)
        return self._kept[host]

    def _drop(self, host: str) -> None:
        if kept := self._kept.pop(host, None):
            kept.close()

    def _judge(self, answer: Answer, host: str, method: str, target: str) -> None:
        """Raises `Wrong`, or ValueError and KeyError for a body that is none of a backend's."""
        if answer.status != 200:
            raise Wrong("status", f"{method} {answer.status} {answer.body[:120]!r}")
        seen = json.loads(answer.body)
        backend = next(seen[key] for key in ("backend", "name", "pod") if key in seen)
        may = self._group.hosts[host]
        if may and backend not in may:
            raise Wrong("backend", f"{backend} answered, not {' or '.join(may)}")
        length = seen["body_length"] if "body_length" in seen else len(seen["body"])
        if (seen["target"], length) != (target, len(BODY) * (method == "POST")):
            raise Wrong("garbled", f"asked for {target}, got the answer to {seen['target']} with a body of {length}")


def _kind(fault: Exception) -> str:
    kinds = {
        ssl.SSLCertVerificationError: "certificate",
        ConnectionRefusedError: "refused",
        TimeoutError: "timeout",
        IncompleteReadError: "ended",
        OSError: "reset",
    }
    return next((kind for cause, kind in kinds.items() if isinstance(fault, cause)), "garbled")


async def main() -> None:
    """Runs the plan until standard input ends."""
    loop = asyncio.get_running_loop()
    plan = json.loads(await asyncio.to_thread(sys.stdin.readline))
    groups = [Group(**group) for group in plan["groups"]]
    over = asyncio.Event()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: over.set())
    numbers = itertools.count()
    with open(plan["record"], "w") as record:  # noqa: PTH123
        clients = [
            Client(group, numbers, record, first).run(over) for group in groups for first in range(group.clients)
        ]
        running = asyncio.gather(*clients)
        while not running.done():
            await asyncio.wait([running], timeout=FLUSH)
            record.flush()
        await running


if __name__ == "__main__":
    asyncio.run(main())
