"""A running controller with a victim, to which one attack after the other is brought.

The victim's routes must keep answering; what an attack puts there is asked for; every answer, and everything a pod is
sent, is searched for what nobody may see: Secrets of another namespace, files of the controller, its environment.
"""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller.tests.fuzz.shape import faults
from controller.tests.live.backends import Backend, Backends
from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import Object, service, slice_of

ENVIRONMENT = "environment-of-the-controller"
SECRET = "secret-of-another-namespace"
MARKS = (ENVIRONMENT, SECRET, "root:x:0:", "PRIVATE KEY", "daemon off;", "load_module", "HEADRACE_ARENA")
"""Texts that an answer holds only where something has leaked."""

_TROUBLE = ("exited on signal", "[alert]", "Traceback", "internal error")
Finding = dict[str, Any]


@dataclass
class Arena:
    """`control`: objects that stay. `victims`: URLs that must answer from the backend of that name, always."""

    headrace: Headrace
    control: Sequence[Object]
    victims: dict[str, str]
    backends: list[Backend] = field(default_factory=list)
    rounds: int = 0

    def bring(self, objects: Iterable[Object], settled: Object, *, served: bool = True) -> None:
        """Put these objects into the place of those of the attack before, and wait until they count.

        `settled` is an Ingress of a good tenant whose host is new: it is served as soon as the rest is, and told of
        as soon as the owners of the rest are, of an unknown annotation with the name of its host. Not `served`: the
        attack closes every route, as settings of the operator may.
        """
        found = list(objects)
        names = {_key(each) for each in found}
        kept = [each for each in self.control if _key(each) not in names]
        self.rounds += 1
        self.headrace.write("arena.yaml", *kept, *found, settled)
        host, name = settled["spec"]["rules"][0]["host"], settled["metadata"]["name"]
        if served:
            self.headrace.until(lambda: self.headrace.get(f"http://{host}/").backend, 10, f"{host} is not served")
        self.headrace.until(lambda: any(host in f["field"] for f in self.findings(name)), 10, "nobody is told anything")

    def ask(self, url: str, **how: Any) -> Answer:
        """An answer, in which nothing leaks."""
        answer = self.headrace.get(url, **how)
        assert not leaks(answer), f"{url} shows {leaks(answer)}"
        return answer

    def outcome(self, url: str, **how: Any) -> str:
        """Who answered: the name of a backend, or the status where nginx did. `cut` where there was no answer."""
        try:
            answer = self.ask(url, **how)
        except (ConnectionError, http.client.HTTPException):
            return "cut"
        return answer.backend or str(answer.status)

    def findings(self, name: str, kind: str = "Ingress") -> list[Finding]:
        everything: list[Finding] = self.headrace.ask_health("/debug/diagnostics").json["diagnostics"]
        return [found for found in everything if (found["object"]["kind"], found["object"]["name"]) == (kind, name)]

    def told(self, name: str, kind: str = "Ingress") -> set[str]:
        """Codes of what the owner of an object is told, besides about Secrets that no file of the corpus brings."""
        return {found["code"] for found in self.findings(name, kind)}

    def check_victims(self) -> None:
        found = {url: self.outcome(url) for url in self.victims}
        assert found == self.victims

    def check_data_plane(self) -> None:
        """The shape of what nginx runs, what pods were sent, and that no worker died."""
        current = self.headrace.directory / "state" / "current"
        files = {p.relative_to(current).as_posix(): p.read_text() for p in current.rglob("*.conf")}
        files.pop("generation.conf", None)
        assert "nginx.conf" in files
        found = faults(files)
        assert not found, found[:5]
        log = self.headrace.log.read_text(errors="replace")
        bad = [line for line in log.splitlines() if any(word in line for word in _TROUBLE)]
        assert not bad, bad[:3]
        sent = str([backend.requests for backend in self.backends])
        assert not [mark for mark in MARKS if mark in sent]


def leaks(answer: Answer) -> list[str]:
    """Marks in an answer; a pod shows the request it got, so a mark there counts as well."""
    text = f"{answer.headers} {answer.body.decode('latin-1')}"
    return [mark for mark in MARKS if mark in text]


@contextmanager
def arena(
    directory: Path, control: Sequence[Object], pods: dict[tuple[str, str], str], victims: dict[str, str], *flags: str
) -> Iterator[Arena]:
    """`pods`: the name of the backend behind each Service, which is namespace and name."""
    with ExitStack() as stack:
        backends = stack.enter_context(Backends())
        started = {name: backends.start(name) for name in sorted(set(pods.values()))}
        authority = stack.enter_context(Authority())
        around = [slice_of(name, started[backend], namespace=namespace) for (namespace, name), backend in pods.items()]
        namespaces = sorted({namespace for namespace, _ in pods})
        for namespace in namespaces:
            around += [service("auth", namespace), slice_of("auth", authority, namespace=namespace)]  # type: ignore[arg-type]
        manifests = directory / "manifests"
        manifests.mkdir(parents=True)
        headrace = Headrace(
            directory,
            manifests,
            ("--reload-interval", "0", *flags),
            environment={"HEADRACE_ARENA": ENVIRONMENT},
        )
        objects = [*control, *around]
        headrace.write("arena.yaml", *objects)
        yield Arena(stack.enter_context(headrace), objects, victims, list(started.values()))


class Authority:
    """A service that says who may pass: 401 for `/deny`, else 200. A context manager."""

    host = "127.0.0.1"

    def __enter__(self) -> Authority:
        self._server = http.server.ThreadingHTTPServer((self.host, 0), _Verdict)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Verdict(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(401 if "/deny" in self.path else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def documents(path: Path) -> list[Object]:
    """The Kubernetes objects of a file."""
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


def _key(each: Object) -> tuple[str, str, str]:
    metadata = each.get("metadata", {})
    return each["kind"], metadata.get("namespace", ""), metadata.get("name", "")
