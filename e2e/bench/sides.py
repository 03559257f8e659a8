"""The proxies that are compared, and the backend behind both: real processes, one of which runs at a time.

Both have the same processors and the same backend. The one that is not measured is stopped (SIGSTOP) with all its
processes, so that what it does in the background is its own cost and not the other's. The controller, which counts
requests and answers DNS, is not tied to the processors of the proxy; what it uses is a figure of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from controller.dataplane.binary import find_nginx
from controller.dataplane.procfs import children_of
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, configmap
from controller.tests.ports import free_ports
from e2e.bench import bare
from e2e.bench.load import LOAD_CPU, Unmeasurable
from e2e.bench.shapes import Shape

BIG = 1 << 20
"""Bytes of the answer at /big."""


@dataclass(frozen=True)
class Side:
    """One proxy: its ports, the master process and others that belong to it (the controller)."""

    name: str
    http: int
    https: int
    master: int
    others: tuple[int, ...] = ()

    @property
    def proxy(self) -> tuple[int, ...]:
        return (self.master, *(child.pid for child in children_of(self.master)))

    def signal(self, number: signal.Signals) -> None:
        for pid in (*self.proxy, *self.others):
            os.kill(pid, number)

    @contextmanager
    def alone(self, everyone: tuple[Side, ...]) -> Iterator[None]:
        """Run while the others stand still."""
        others = [side for side in everyone if side is not self]
        try:
            for side in others:
                side.signal(signal.SIGSTOP)
            yield
        finally:
            for side in others:
                side.signal(signal.SIGCONT)


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """User and system time of the processes, of all their threads (proc(5), `schedstat`: nanoseconds)."""
    tasks = (task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def pin(pids: tuple[int, ...]) -> None:
    """Everything but the load's processor, where the machine has more than one."""
    every = os.sched_getaffinity(0)
    for pid in pids:
        os.sched_setaffinity(pid, every - {int(LOAD_CPU)} or every)


def rank_alike(pids: tuple[int, ...]) -> None:
    """Give sessions that processes lead our own priority: where Linux groups by session nice counts inside one only.

    See sched(7), "The autogroup feature". What may not be changed stays.
    """
    for pid in pids:
        with suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))


@contextmanager
def backend(directory: Path) -> Iterator[tuple[int, int]]:
    """An nginx that answers at once: 2 bytes at any path, 1 MiB at /big. Ports for HTTP and for gRPC."""
    http, grpc = free_ports(2)
    directory.mkdir()
    (directory / "big").write_bytes(b"x" * BIG)
    (directory / "nginx.conf").write_text(f"""
daemon off;
{"user root root;" if os.getuid() == 0 else ""}
pid {directory}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 8192; }}
http {{
access_log off;
keepalive_requests 1000000000;
open_file_cache max=10;
open_file_cache_valid 1h;
sendfile on;
{temporary(directory)}
server {{
    listen 127.0.0.1:{http} backlog=4096;
    location / {{ return 200 ok; }}
    location = /big {{ root {directory}; }}
}}
server {{
    listen 127.0.0.1:{grpc} backlog=4096;
    http2 on;
    location / {{ default_type application/grpc; return 200; }}
}}
}}
""")
    with nginx(directory, http) as master:
        for pid in (master, *(child.pid for child in children_of(master))):
            os.sched_setaffinity(pid, {int(LOAD_CPU)})
        yield http, grpc


def temporary(directory: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)


@contextmanager
def bare_nginx(
    directory: Path, shape: Shape, variant: bare.Variant, pair: tuple[bytes, bytes], behind: tuple[int, int]
) -> Iterator[Side]:
    http, https = free_ports(2)
    directory.mkdir()
    (directory / "tls.pem").write_bytes(pair[0] + pair[1])
    (directory / "nginx.conf").write_text(bare.written(shape, variant, directory, http, https, behind))
    with nginx(directory, http) as master:
        side = Side("bare", http, https, master)
        pin(side.proxy)
        rank_alike((os.getpid(), *side.proxy, *side.others))
        yield side


@contextmanager
def nginx(directory: Path, port: int) -> Iterator[int]:
    with (directory / "error.log").open("wb") as log:
        command = [find_nginx(), "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(port, process, directory / "error.log")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise Unmeasurable(f"nginx does not listen: {log.read_text()[-2000:]}")


@contextmanager
def headrace(
    directory: Path, shape: Shape, pair: tuple[bytes, bytes], behind: tuple[int, int], **settings: str
) -> Iterator[Side]:
    """The whole program over manifests; `settings` are keys of the ConfigMap. Ready when every host was asked for."""
    manifests = directory / "manifests"
    manifests.mkdir(parents=True)
    running = Headrace(directory, manifests, CONFIGMAP)
    documents = [*shape.objects(pair, behind), configmap(**{"worker_processes": "2", **settings})]
    (manifests / "objects.json").write_text("\n---\n".join(map(json.dumps, documents)))
    (manifests / "objects.json").rename(manifests / "objects.yaml")
    with ExitStack() as stack:
        stack.callback(running.__exit__)
        running.start(wait=False)
        running.wait_ready(120)
        master = int((running.state / "nginx.pid").read_text())
        assert running.process
        side = Side("ours", running.http, running.https, master, (running.process.pid,))
        pin(side.proxy)
        rank_alike((os.getpid(), *side.proxy, *side.others))
        yield side
