"""Ports for servers of tests, taken where the kernel gives none to clients.

A port that was merely free a moment ago may soon be the near end of somebody's connection, or another test's: a server
that gets its port long before it listens needs one that nobody else is given.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress


def _candidates() -> Iterator[int]:
    """A range for each process of the same test run; runs at the same time are told apart by HEADRACE_TEST_PORTS."""
    base = int(os.environ.get("HEADRACE_TEST_PORTS", "10000"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    first = random.randrange(1000)
    yield from (base + 1000 * worker + (first + step) % 1000 for step in itertools.count())


_PORTS = _candidates()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at `host`; each is handed out once in a long while."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in _PORTS:
        with suppress(OSError), socket.create_server((host, port), family=family):
            return port
    raise AssertionError("the range never ends")


def free_ports(count: int) -> list[int]:
    """As many, all different."""
    return [free_port() for _ in range(count)]
