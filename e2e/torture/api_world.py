"""What is tortured by way of the API server: a controller that reads a real one through a proxy that breaks things.

Each host has a backend at an address of its own, since the API server refuses endpoints on loopback. `change` writes a
route, the endpoints of a Service and a certificate, past the proxy; `until_changed` waits until all three are served.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controller.tests.live import authorities
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, ingress, service, slice_at
from controller.tests.ports import free_port
from e2e.apiserver.replica import CLASS, INGRESS_CLASS
from e2e.chart.rendering import rights
from e2e.controlplane.backends import Backend, Backends
from e2e.controlplane.cluster import ControlPlane
from e2e.controlplane.kubeconfig import write_kubeconfig
from e2e.controlplane.network import PrivateNetwork
from e2e.torture.api_proxy import ApiProxy
from e2e.torture.checker import Checker
from e2e.torture.faults import controller_of
from e2e.torture.world import standard_groups

PLAIN, SECURE = ("red", "green", "blue"), ("gold", "silver")
MOVES = ("north", "south")
"""Where the host `move.test` may lead."""

ADDRESS = "192.0.2.7"
ELECTION_SECONDS = 5
FLAGS = ("--reload-interval", "0.2", "--election-id", "torture", "--election-ttl", str(ELECTION_SECONDS))
STATUS = ("--publish-status-address", ADDRESS)


@dataclass(frozen=True, slots=True)
class Spent:
    """Of the controller: requests to the API server, seconds of a processor, and MiB that it has grown by."""

    seconds: float
    requests: int
    processor: float
    grown: float

    def __str__(self) -> str:
        return f"in {self.seconds:.1f} s {self.requests} requests, {self.processor:.2f} CPU s, {self.grown:+.0f} MiB"


@dataclass
class ApiWorld:
    """`token` and `authority` are files that the controller reads to find the API server trustworthy, and itself."""

    control_plane: ControlPlane
    proxy: ApiProxy
    headrace: Headrace
    pods: dict[str, Backend]
    root: Path
    issuer: authorities.Authority
    token: Path
    authority: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    number: int = 0
    certificate: bytes = b""

    def load(self) -> Checker:
        """Kept and new connections, plain and TLS, to several hosts."""
        plain = {f"{name}.test": (name,) for name in PLAIN}
        secure = {f"{name}.test": (name,) for name in SECURE}
        groups = standard_groups(self.headrace.http, self.headrace.https, self.root, plain=plain, secure=secure)
        return Checker(groups, self.headrace.directory)

    def change(self) -> None:
        """A route, endpoints and a certificate become others."""
        self.number = next(self._numbers)
        pair = self.issuer.issue("iron.test")
        self.certificate = ssl.PEM_cert_to_DER_cert(pair[0].decode())
        self.control_plane.apply(
            route("turn", f"/turn{self.number}"),
            slice_at("move", (self.pods[self._place].address, 8080)),
            certificate("iron", pair),
        )

    @property
    def _place(self) -> str:
        return MOVES[self.number % len(MOVES)]

    def changed(self) -> bool:
        """Whether all of the newest change is served."""
        return (
            self.answers(f"http://turn.test/turn{self.number}") == "turn"
            and self.answers("http://move.test/") == self._place
            and self.headrace.certificate("iron.test") == self.certificate
        )

    def until_changed(self, seconds: float) -> float:
        """How long it took, in seconds. Raises AssertionError with the controller's log."""
        return self.until(self.changed, seconds, f"change {self.number} is served")

    def until(self, condition: Callable[[], bool], seconds: float, message: str) -> float:
        """As that of `Headrace`, with what the controller said and without what nginx did."""
        try:
            return self.headrace.until(condition, seconds)
        except AssertionError:
            said = [line for line in self.headrace.log.read_text().splitlines() if line.startswith("{")]
            raise AssertionError("\n".join([f"not within {seconds} s: {message}", *said[-40:]])) from None

    def answers(self, url: str) -> str | int:
        """The name of the backend, or the status."""
        answer = self.headrace.get(url, timeout=2)
        return str(json.loads(answer.body)["name"]) if answer.body.startswith(b"{") else answer.status

    def ready(self) -> int:
        return self.headrace.ask_health("/readyz").status

    def leads(self) -> bool:
        return self.headrace.metric("headrace_leader") == 1

    @contextmanager
    def measured(self) -> Iterator[list[Spent]]:
        """The list has one entry once the block has ended."""
        spent: list[Spent] = []
        begun, before = time.monotonic(), self._taken()
        yield spent
        processor, memory = (now - then for now, then in zip(self._taken(), before, strict=True))
        spent.append(Spent(time.monotonic() - begun, len(self.proxy.asked(begun)), processor, memory))

    def _taken(self) -> tuple[float, float]:
        process = Path(f"/proc/{controller_of(self.headrace)}")
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        resident = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(resident.split()[1]) / 1024


def route(name: str, path: str = "/", **more: object) -> Object:
    """The Ingress of a host that is named as its Service."""
    return ingress(name, (f"{name}.test", path, "Prefix", name), ingressClassName=CLASS, **more)  # type: ignore[arg-type]


def certificate(name: str, pair: authorities.Pair) -> Object:
    return authorities.secret(name, pair) | {"type": "kubernetes.io/tls"}


def objects(issuer: authorities.Authority, pods: dict[str, Backend]) -> list[Object]:
    """All that is there before the first change."""
    found: list[Object] = [INGRESS_CLASS]
    for name in (*PLAIN, *SECURE, "turn", "iron"):
        found += [service(name), slice_at(name, (pods[name].address, 8080))]
    found += [route(name) for name in PLAIN]
    for name in (*SECURE, "iron"):
        found.append(route(name, tls=[{"hosts": [f"{name}.test"], "secretName": name}]))
        found.append(certificate(name, issuer.issue(f"{name}.test")))
    return [*found, service("move"), route("move")]


@contextmanager
def running_api_world(directory: Path) -> Iterator[ApiWorld]:
    """Everything of its own below `directory`, in a network namespace of its own."""
    issuer = authorities.Authority("torture")
    root, token, authority = (directory / name for name in ("root.pem", "token", "ca.crt"))
    root.write_bytes(issuer.pem)
    with ExitStack() as stack:
        network = stack.enter_context(PrivateNetwork())
        plane = stack.enter_context(ControlPlane(directory / "control-plane"))
        backends = stack.enter_context(Backends(network, directory))
        pods = {name: backends.start(name) for name in (*PLAIN, *SECURE, *MOVES, "turn", "iron")}
        plane.apply(*rights())
        plane.apply(*objects(issuer, pods))
        shutil.copy(plane.authority.certificate, authority)
        pair = plane.authority.server("proxy", ["localhost"], ["127.0.0.1"])
        proxy = stack.enter_context(ApiProxy(plane.url, str(plane.authority.certificate), pair, free_port()))
        token.write_text(new_token(plane))
        user = {"tokenFile": str(token)}
        kubeconfig = write_kubeconfig(directory / "kubeconfig", proxy.url, authority, user)
        environment = {"POD_NAME": "headrace-0", "POD_NAMESPACE": "headrace"}
        source = ("--kubeconfig", str(kubeconfig))
        headrace = Headrace(directory, directory / "unused", (*FLAGS, *STATUS), environment, source)
        world = ApiWorld(plane, proxy, headrace, pods, root, issuer, token, authority)
        world.change()
        stack.callback(headrace.__exit__)
        headrace.start()
        world.until_changed(20)
        world.until(world.leads, 20, "it leads")
        yield world


def new_token(control_plane: ControlPlane) -> str:
    """A bound token of the controller's ServiceAccount; each call makes another one."""
    return control_plane.kubectl("create", "token", "headrace", "--namespace=headrace").strip()
