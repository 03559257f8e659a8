"""Hosts in a real cluster: each with an Ingress, a Service, endpoints of its own; every second one with a certificate.

The control plane is etcd, API server and controller manager without a node; pods are addresses of a private network,
behind which one nginx answers each with its address. So any host can have any pod, and an answer tells which it was.
A cluster only grows: one that was measured with 1,000 hosts gets 4,000 more, which takes half the time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, ingress, key_pair, service, slice_at, tls_secret
from e2e.apiserver.replica import CLASS, replica
from e2e.bench import sides
from e2e.bench.api import Api
from e2e.bench.cost import Program
from e2e.bench.load import Unmeasurable
from e2e.controlplane import build
from e2e.controlplane.cluster import ControlPlane
from e2e.controlplane.network import PrivateNetwork

NAMESPACE, DOMAIN, PORT = "bench", "bench.test", 8080
SETTINGS = ("--configmap", f"{NAMESPACE}/settings")
_CONTROLLERS = ("serviceaccount-controller", "namespace-controller", "garbage-collector-controller")
_POD_NGINX = """
daemon off;
pid {0}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 8192; }}
http {{
access_log off;
keepalive_requests 1000000000;
{1}
server {{ listen {2} backlog=4096; location / {{ return 200 $server_addr; }} }}
}}
"""


@dataclass(frozen=True)
class Host:
    """One host. `family` keeps those that are made for a moment apart from those that stay."""

    number: int
    family: str = "h"
    tls: bool = False

    @property
    def label(self) -> str:
        return f"{self.family}{self.number}"

    @property
    def name(self) -> str:
        return f"{self.label}.{DOMAIN}"

    @property
    def address(self) -> str:
        """Its first pod."""
        return pod(self.number)

    @property
    def ingress(self) -> Object:
        tls = [{"hosts": [self.name], "secretName": self.label}] if self.tls else None
        rule = (self.name, "/", "Prefix", self.label)
        return ingress(self.label, rule, namespace=NAMESPACE, ingressClassName=CLASS, tls=tls)

    def endpoints(self, *addresses: str) -> Object:
        return slice_at(self.label, *((each, PORT) for each in addresses), namespace=NAMESPACE)

    def secret(self, pair: tuple[bytes, bytes] | None = None) -> Object:
        return tls_secret(self.label, pair or certificate(self.name), NAMESPACE)

    @property
    def behind(self) -> list[Object]:
        """Everything but the Ingress."""
        made = [service(self.label, NAMESPACE), self.endpoints(self.address)]
        return [*made, self.secret()] if self.tls else made


def pod(number: int, kind: int = 0) -> str:
    """An address of the private network; `kind` 0 to 2 gives another one for the same number (below 16,000)."""
    return f"10.231.{kind * 64 + 32 + number // 250}.{1 + number % 250}"


def standing(count: int) -> list[Host]:
    """The hosts that are there beforehand: every second one has TLS."""
    return [Host(number, tls=number % 2 == 1) for number in range(count)]


@cache
def certificate(name: str) -> tuple[bytes, bytes]:
    """The first certificate of a host and its key, PEM."""
    return key_pair(name)


@dataclass
class Cluster:
    """A running one. `hosts` are those that stand in it."""

    plane: ControlPlane
    api: Api
    scratch: Path
    hosts: list[Host] = field(default_factory=list)
    replicas: int = 0
    moves: Counter[Host] = field(default_factory=Counter)

    def grow(self, count: int) -> None:
        """Have `count` hosts in it."""
        new = standing(count)[len(self.hosts) :]
        self.api.create_all(made for host in new for made in host.behind)
        self.api.create_all(host.ingress for host in new)
        self.hosts += new

    def next_pod(self, host: Host) -> str:
        """The address of a pod that it does not have now; whoever asks moves the host there."""
        self.moves[host] += 1
        return pod(host.number, 1 + self.moves[host] % 2)

    def controller(self) -> Headrace:
        """A controller with an empty state directory, not yet started; two workers as bare nginx has."""
        self.replicas += 1
        return replica(self.plane, self.scratch / f"replica{self.replicas}", *SETTINGS)


@contextmanager
def serving(controller: Headrace, seconds: float = 120) -> Iterator[Program]:
    """A controller that runs and says that it is ready; both it and its nginx have our own priority."""
    try:
        controller.start(wait=False)
        assert controller.process
        sides.rank_alike((os.getpid(), controller.process.pid))
        controller.wait_ready(seconds)
        program = program_of(controller)
        sides.rank_alike((program.master,))
        yield program
    finally:
        controller.__exit__()


def program_of(controller: Headrace) -> Program:
    """Its processes, as soon as there is an nginx."""
    assert controller.process
    return Program(int((controller.state / "nginx.pid").read_text()), controller.process.pid)


@contextmanager
def cluster(scratch: Path) -> Iterator[Cluster]:
    """An empty one. Raises Unmeasurable where this is not root's machine."""
    build.binaries()
    build.binaries(("helm",))
    with ExitStack() as stack:
        try:
            stack.enter_context(PrivateNetwork())
        except (PermissionError, RuntimeError) as reason:
            raise Unmeasurable(str(reason)) from reason
        plane = stack.enter_context(ControlPlane(scratch / "control-plane", controllers=_CONTROLLERS))
        api = stack.enter_context(Api(plane.admin_kubeconfig))
        pods = stack.enter_context(_pods(scratch / "pods"))
        sides.rank_alike((*plane.pids().values(), pods))
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        api.create(_settings())
        yield Cluster(plane, api, scratch)


def sampled(hosts: Iterable[Host], most: int = 200) -> list[Host]:
    """At most so many of them, from everywhere, with the first and the last."""
    every = list(hosts)
    step = max(len(every) // most, 1)
    return [*every[:-1:step][: most - 1], every[-1]]


def _settings() -> Object:
    metadata = {"name": "settings", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"worker-processes": "2"}}


@contextmanager
def _pods(directory: Path) -> Iterator[int]:
    directory.mkdir()
    directory.chmod(0o755)
    written = _POD_NGINX.format(directory, sides.temporary(directory), PORT)
    (directory / "nginx.conf").write_text(written)
    with sides.nginx(directory, PORT) as master:
        yield master
