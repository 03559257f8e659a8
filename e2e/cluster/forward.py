"""`kubectl port-forward` to a release, on ports that the kernel chooses."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.cluster.release import Release

FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> ")


@contextmanager
def port_forward(release: Release, *ports: str, pod: str = "") -> Iterator[tuple[int, ...]]:
    """Local ports, one for each of `ports` (names or numbers of the Service), for as long as the block lasts.

    With `pod` they lead to that pod, and nowhere else.
    """
    target = f"pod/{pod}" if pod else f"service/{release.service['metadata']['name']}"
    command = [
        *release.cluster.kubectl_command, "port-forward", "--namespace", release.namespace,
        "--address=127.0.0.1", target, *(f":{port}" for port in ports),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield tuple(_local_port(process) for _ in ports)
        finally:
            process.terminate()


def _local_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    told = []
    while line := process.stdout.readline():
        told.append(line)
        if found := FORWARDING.match(line):
            return int(found[1])
    raise AssertionError("".join(told))
