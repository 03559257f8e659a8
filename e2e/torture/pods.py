"""Backends in a process of their own, so that neither the test nor the load takes time from them.

    with Pods("red", "blue") as pods: pods["red"].host, pods["red"].port

They answer as those of `controller.tests.live.backends` do.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from dataclasses import dataclass
from typing import Self

from controller.tests.live.backends import Backends


@dataclass(frozen=True, slots=True)
class Pod:
    """One backend; fits wherever the builders of objects want one."""

    name: str
    host: str
    port: int


class Pods:
    """Started by the block, gone with it."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "e2e.torture.pods", *self._names]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout
        ports: dict[str, int] = json.loads(self._process.stdout.readline())
        self._pods = {name: Pod(name, "127.0.0.1", port) for name, port in ports.items()}
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def __getitem__(self, name: str) -> Pod:
        return self._pods[name]


def main(names: list[str]) -> None:
    with Backends() as backends:
        started = [backends.start(name) for name in names]
        print(json.dumps({one.name: one.port for one in started}), flush=True)
        while not select.select([sys.stdin], [], [], 1.0)[0]:
            for one in started:
                one.requests.clear()
                one.answered.clear()


if __name__ == "__main__":
    main(sys.argv[1:])
