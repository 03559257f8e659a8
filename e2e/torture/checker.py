"""Constant load from a process of its own, and what came of every single request.

    with Checker(groups, directory) as checker:
        checker.warm_up()
        begun = time.monotonic()
        ...break something...
        window = Window(begun, time.monotonic())
    seen = checker.seen()
    seen.outside(window).assert_all_right()
    print(seen.during(window), seen.latency("kept"))

Each request is one `Ask`, kept with its times on the monotonic clock, which all processes of a machine share. Wrong is
what a user would call wrong: no answer, a status other than 200, an answer of a pod that is not one of the host's, an
answer to another request, a certificate that does not verify for the name. What does not count: an answer that
announces `Connection: close`, and an idle connection that was closed before its next request (RFC 9112, section 9.6).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

ENOUGH = 20.0
"""Seconds within which a load has begun, and within which it ends."""

SHOWN = 12


@dataclass(frozen=True, slots=True)
class Group:
    """Clients that do alike. `hosts`: each name with the backends that may answer for it; none means any.

    `root` is the path of a PEM file: with it the group speaks TLS and verifies the certificate for the name. `fresh`
    clients connect anew for each request, the others keep their connections. Every second request is a POST if `posts`.
    `pause` in seconds is between the requests of one client, `patience` what a client waits for a whole answer.
    """

    name: str
    port: int
    hosts: Mapping[str, Sequence[str]]
    root: str = ""
    fresh: bool = False
    posts: bool = True
    clients: int = 2
    pause: float = 0.02
    patience: float = 10.0
    address: str = "127.0.0.1"
    path: str = "/load"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `wrong` is a word, empty for a right answer: refused, reset, timeout, ended, status, backend,
    certificate, garbled. `words` say more about it.
    """

    begun: float
    took: float
    group: str
    host: str
    wrong: str
    words: str

    def within(self, window: Window) -> bool:
        """Whether it was under way at any time of the window."""
        return self.begun <= window.end and self.begun + self.took >= window.begin


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds on the monotonic clock in which a fault may be noticed."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds; zero where nothing was asked."""

    count: int
    p50: float
    p99: float
    slowest: float

    def __str__(self) -> str:
        return f"p50 {self.p50 * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms, slowest {self.slowest:.2f} s"


@dataclass(frozen=True)
class Seen:
    """Requests, and questions about them."""

    asks: tuple[Ask, ...]
    since: float

    def during(self, *windows: Window) -> Seen:
        """Those under way in one of the windows."""
        return Seen(tuple(ask for ask in self.asks if any(ask.within(one) for one in windows)), self.since)

    def outside(self, *windows: Window) -> Seen:
        """Those that never met a window."""
        return Seen(tuple(ask for ask in self.asks if not any(ask.within(one) for one in windows)), self.since)

    def of(self, *groups: str) -> Seen:
        return Seen(tuple(ask for ask in self.asks if ask.group in groups), self.since)

    def of_hosts(self, *hosts: str) -> Seen:
        return Seen(tuple(ask for ask in self.asks if ask.host in hosts), self.since)

    @property
    def wrong(self) -> tuple[Ask, ...]:
        return tuple(ask for ask in self.asks if ask.wrong)

    @property
    def kinds(self) -> Counter[str]:
        """How many of each kind of wrong answer."""
        return Counter(ask.wrong for ask in self.wrong)

    def latency(self, *groups: str) -> Latency:
        """Of all groups, or of these; right answers only, since a refusal is fast."""
        asks = self.of(*groups).asks if groups else self.asks
        took = sorted(ask.took for ask in asks if not ask.wrong)
        if not took:
            return Latency(0, 0.0, 0.0, 0.0)
        return Latency(len(took), took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)], took[-1])

    def assert_all_right(self, at_least: int = 1) -> None:
        """Also fails where fewer than `at_least` requests were made: a test without load shows nothing."""
        assert not self.wrong, f"{self}\n{self.told()}"
        assert len(self.asks) >= at_least, f"only {len(self.asks)} requests"

    def told(self) -> str:
        """The first that went wrong, with times since the load began."""
        return "\n".join(
            f"at {ask.begun - self.since:.3f} s for {ask.took:.3f} s: {ask.group} {ask.host}: {ask.wrong} {ask.words}"
            for ask in self.wrong[:SHOWN]
        )

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items())) or "none wrong"
        return f"{len(self.asks)} requests, {kinds}; {self.latency()}"


class Checker:
    """The load, from the start of the block to its end. `directory` takes the record of all requests."""

    def __init__(self, groups: Iterable[Group], directory: Path) -> None:
        self._groups = tuple(groups)
        self._record = directory / f"asks-{time.monotonic_ns()}"
        self.begun = 0.0

    def __enter__(self) -> Self:
        plan = json.dumps({"record": str(self._record), "groups": [asdict(group) for group in self._groups]})
        command = [sys.executable, "-m", "e2e.torture.load"]
        self.begun = time.monotonic()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin
        self._process.stdin.write(plan.encode() + b"\n")
        self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the load and waits for the answers that are still to come."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(ENOUGH)
        finally:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def seen(self) -> Seen:
        """All that has ended so far, a quarter of a second late; complete once the block has ended."""
        lines = self._record.read_text().splitlines(keepends=True) if self._record.exists() else []
        return Seen(tuple(_ask(line) for line in lines if line.endswith("\n")), self.begun)

    def warm_up(self, each: int = 5) -> None:
        """Until each group has had so many right answers in all. Raises AssertionError where that does not happen."""
        deadline = time.monotonic() + ENOUGH
        while time.monotonic() < deadline:
            right = Counter(ask.group for ask in self.seen().asks if not ask.wrong)
            if all(right[group.name] >= each for group in self._groups):
                return
            time.sleep(0.1)
        raise AssertionError(f"no load: {self.seen()}\n{self.seen().told()}")


def _ask(line: str) -> Ask:
    begun, took, group, host, wrong, words = line.rstrip("\n").split("\t", 5)
    return Ask(float(begun), float(took), group, host, wrong, words)
