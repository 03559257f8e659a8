"""What is tortured: a controller over manifests, with hosts that everybody asks and one that changes.

Each host has a Service and a backend of its own, named after it, so that an answer from the wrong backend shows; each
`secure` host has a certificate of its own, so that a wrong certificate shows. `change` makes an apply happen in the
middle of it all, and `until_changed` waits until it is served.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from controller.tests.live.authorities import Authority, secret
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, ingress, service, slice_at
from e2e.torture.checker import Checker, Group
from e2e.torture.pods import Pods

PLAIN = ("red", "green", "blue")
SECURE = ("gold", "silver", "bronze")
NAMES = (*PLAIN, *SECURE, "iron", "turn")
"""Services with a backend of the same name. `move` has whichever it was given last."""

FLAGS = ("--reload-interval", "0.2")
"""More often than in production, so that more applies meet a fault."""


@dataclass
class World:
    """A controller with its objects; `root` is the file that clients verify certificates with."""

    headrace: Headrace
    pods: Pods
    root: Path
    _turns: Iterator[int] = field(default_factory=itertools.count)
    turn: int = -1
    place: str = ""

    def groups(self, pause: float = 0.02, clients: int = 2) -> tuple[Group, ...]:
        return standard_groups(self.headrace.http, self.headrace.https, self.root, pause=pause, clients=clients)

    def load(self, pause: float = 0.02, clients: int = 2) -> Checker:
        """The usual load: kept and new connections, plain and TLS, GET and POST."""
        return Checker(self.groups(pause, clients), self.headrace.directory)

    def change(self) -> int:
        """Change a route that the load does not use; returns its number."""
        self.turn = next(self._turns)
        path = f"/turn{self.turn}"
        self.headrace.write("turn.yaml", ingress("turn", ("turn.test", path, "Prefix", "turn")))
        return self.turn

    def changed(self, turn: int | None = None) -> bool:
        """Whether the newest change, or this one, is served."""
        path = f"/turn{self.turn if turn is None else turn}"
        return self.headrace.get(f"http://turn.test{path}", timeout=1).backend == "turn"

    def until_changed(self, seconds: float = 10) -> float:
        """How long it took, in seconds. Raises AssertionError with the controller's log."""
        return self.headrace.until(self.changed, seconds, f"change {self.turn} is served")

    def move(self, to: str) -> None:
        """Give the host `move.test` the backend of another one: endpoints change, and nothing else does."""
        self.place = to
        self.headrace.write("move.yaml", slice_at("move", (self.pods[to].host, self.pods[to].port)))

    def moved(self) -> bool:
        """Whether that backend is the one that answers."""
        return self.headrace.get("http://move.test/", timeout=1).backend == self.place

    def all_right(self) -> bool:
        """Whether each host answers from its own backend and with its own certificate. Raises OSError and the like."""
        context = ssl.create_default_context(cafile=self.root)
        for name in SECURE:
            with socket.create_connection(("127.0.0.1", self.headrace.https), timeout=5) as plain:
                context.wrap_socket(plain, server_hostname=f"{name}.test").close()
        secure = all(self.headrace.get(f"https://{name}.test/").backend == name for name in SECURE)
        return secure and all(self.headrace.get(f"http://{name}.test/").backend == name for name in PLAIN)


def standard_groups(
    http: int,
    https: int,
    root: Path,
    *,
    plain: Mapping[str, tuple[str, ...]] | None = None,
    secure: Mapping[str, tuple[str, ...]] | None = None,
    pause: float = 0.02,
    clients: int = 2,
    address: str = "127.0.0.1",
) -> tuple[Group, ...]:
    """Kept and fresh connections, over HTTP for the plain hosts and over HTTPS for the secure ones."""
    plain = {f"{name}.test": (name,) for name in PLAIN} if plain is None else plain
    secure = {f"{name}.test": (name,) for name in SECURE} if secure is None else secure
    group = partial(Group, pause=pause, clients=clients, address=address)
    return (
        group("kept", http, plain),
        group("fresh", http, plain, fresh=True),
        group("tls-kept", https, secure, root=str(root)),
        group("tls-fresh", https, secure, root=str(root), fresh=True),
    )


def objects(authority: Authority, pods: Pods) -> list[Object]:
    """All but the host that changes, whose Service is here too."""
    found: list[Object] = []
    for name in NAMES:
        found += [service(name), slice_at(name, (pods[name].host, pods[name].port))]
    for name in PLAIN:
        found.append(ingress(name, (f"{name}.test", "/", "Prefix", name)))
    found += [service("move"), ingress("move", ("move.test", "/", "Prefix", "move"))]
    for name in (*SECURE, "iron"):
        tls = [{"hosts": [f"{name}.test"], "secretName": name}]
        found.append(ingress(name, (f"{name}.test", "/", "Prefix", name), tls=tls))
        if name != "iron":
            found.append(certificate(authority, name))
    return found


def certificate(authority: Authority, name: str) -> Object:
    """The Secret of a secure host. That of `iron` is a file of its own, to be rotated."""
    return secret(name, authority.issue(f"{name}.test")) | {"type": "kubernetes.io/tls"}


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that nginx's workers may enter, unlike pytest's own, so that they do not run as root."""
    with tempfile.TemporaryDirectory(prefix="headrace-torture-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@contextmanager
def running_world(
    directory: Path, *flags: str, state: Path | None = None, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[World]:
    """A world of its own below `directory`, ready; `state` puts the state directory elsewhere."""
    authority = Authority("torture")
    root = directory / "root.pem"
    root.write_bytes(authority.pem)
    manifests = directory / "manifests"
    manifests.mkdir()
    with ExitStack() as stack:
        pods = stack.enter_context(Pods(*NAMES))
        headrace = Headrace(directory, manifests, (*FLAGS, *flags), dict(environment))
        headrace.state = state or headrace.state
        headrace.write("objects.yaml", *objects(authority, pods))
        headrace.write("iron.yaml", certificate(authority, "iron"))
        world = World(headrace, pods, root)
        world.change()
        world.move(PLAIN[0])
        stack.callback(headrace.__exit__)
        headrace.start()
        world.until_changed()
        yield world
