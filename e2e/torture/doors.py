"""Every port that somebody else can reach, and what proves that it still does its work.

A world with TCP and UDP services and a host whose TLS is passed through, besides HTTP, HTTPS and the health port; and
the DNS responder, which whoever shares the network of the node can reach.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from controller.tests.live.authorities import Authority, server_context
from controller.tests.live.backends import Backends
from controller.tests.live.headrace import Headrace, trusting_context
from controller.tests.live.objects import Object, configmap, ingress, service, slice_at
from controller.tests.ports import free_ports
from e2e.torture.checker import Checker
from e2e.torture.pods import Pods
from e2e.torture.world import World, running_world

THROUGH = "through.test"
GREEDY = "greedy.test"
"""What attackers ask for. Its pod is a process of its own: others shall wait for nginx at most, not for a busy pod."""

CONFIGMAP = ("--configmap", "default/settings")
FLAGS = (
    "--tcp-services-configmap",
    "default/tcp",
    "--udp-services-configmap",
    "default/udp",
    "--enable-ssl-passthrough",
)


@dataclass(frozen=True)
class Doors:
    """The world and its ports by name: http, https, health, tcp, dns. `udp` and its silent pod are apart."""

    world: World
    ports: dict[str, int]
    udp: int

    @property
    def headrace(self) -> Headrace:
        return self.world.headrace

    def configure(self, **keys: str) -> None:
        """Put these into the ConfigMap, and wait until they count. Old workers do not wait for clients over UDP."""
        text = self.headrace.state / "current" / "generation.conf"
        before = text.read_text()
        self.headrace.write("settings.yaml", configmap(worker_shutdown_timeout="3s", **keys))
        self.headrace.until(lambda: text.read_text() != before, 10)

    def load(self) -> Checker:
        return self.world.load()

    def works(self, door: str) -> bool:
        """Whether a decent client is served there now."""
        checks: dict[str, Callable[[], bool]] = {
            "http": lambda: self.headrace.get("http://red.test/").backend == "red",
            "https": lambda: self.headrace.get("https://gold.test/").backend == "gold" and self._passes_through(),
            "health": lambda: self.headrace.ask_health("/healthz").status == 200,
            "tcp": self._tcp,
            "dns": self._dns,
        }
        try:
            return checks[door]()
        except OSError:
            return False

    def _passes_through(self) -> bool:
        return self.headrace.get(f"https://{THROUGH}/").backend == "through"

    def _tcp(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.ports["tcp"]), timeout=5) as connection:
            connection.sendall(b"GET /tcp HTTP/1.1\r\nHost: x\r\n\r\n")
            return b'"backend": "red"' in connection.recv(65_536)

    def _dns(self) -> bool:
        """A name of ours over UDP (RFC 1035, 4.1)."""
        question = b"".join(bytes([len(part)]) + part for part in (b"red", b"default", b"svc")) + b"\0\0\x21\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(2)
            asker.sendto(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question, ("127.0.0.1", self.ports["dns"]))
            return asker.recv(4096)[:2] == b"\x12\x34"


@contextmanager
def open_doors(directory: Path) -> Iterator[Doors]:
    """A world with all of them, each known to work."""
    with ExitStack() as stack:
        backends = stack.enter_context(Backends())
        behind = backends.start("through", tls=server_context(Authority("pods").issue(THROUGH)))
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("127.0.0.1", 0))
        world = stack.enter_context(running_world(directory, *FLAGS, *CONFIGMAP))
        greedy = stack.enter_context(Pods("greedy"))["greedy"]
        tcp, udp = free_ports(2)
        world.headrace.write(
            "doors.yaml",
            service("through"),
            slice_at("through", (behind.host, behind.port)),
            ingress("through", (THROUGH, "/", "Prefix", "through"), annotations={"ssl-passthrough": "true"}),
            service("greedy"),
            slice_at("greedy", (greedy.host, greedy.port)),
            ingress("greedy", (GREEDY, "/", "Prefix", "greedy")),
            {**service("silent"), "spec": {"ports": [{"name": "udp", "port": 53, "protocol": "UDP"}]}},
            _udp_slice("silent", silent.getsockname()[1]),
            _services("tcp", tcp, "red:80"),
            _services("udp", udp, "silent:53"),
        )
        text = (world.headrace.state / "current" / "nginx.conf").read_text()
        dns = re.findall(r"resolver \"?127\.0\.0\.1:(\d+)", text)
        ports = {"http": world.headrace.http, "https": world.headrace.https, "health": world.headrace.health}
        doors = Doors(world, {**ports, "tcp": tcp, "dns": int(dns[0])}, udp)
        doors.configure()
        for door in doors.ports:
            world.headrace.until(lambda name=door: doors.works(name), 10, f"the door {door} works")
        yield doors


def _services(name: str, port: int, target: str) -> Object:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {str(port): f"default/{target}"}}


def _udp_slice(name: str, port: int) -> Object:
    built = slice_at(name, ("127.0.0.1", port))
    built["ports"] = [{"name": "udp", "port": port, "protocol": "UDP"}]
    return built


def shake_hands(port: int, name: str) -> ssl.SSLSocket:
    """A finished handshake. Raises OSError."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        return trusting_context().wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise
