"""One container of the image under test, run as hardened as a restricted pod unless told otherwise."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from e2e.images import Engine
from e2e.images.build import HEADRACE

READ_ONLY = (
    *("--network", "host", "--read-only"),
    *("--tmpfs", "/tmp", "--cap-drop", "ALL"),
)
RESTRICTED = (*READ_ONLY, "--cap-add", "NET_BIND_SERVICE", "--security-opt", "no-new-privileges")


@dataclass(frozen=True)
class Container:
    """A container that exists, running or not."""

    docker: Engine
    id: str

    @property
    def state(self) -> dict[str, Any]:
        """As the engine tells it: Running, ExitCode, Pid, …"""
        found: dict[str, Any] = json.loads(self.docker.run("inspect", "--format", "{{json .State}}", self.id))
        return found

    def exit_code(self) -> int:
        """Once it has ended by itself."""
        return int(self.docker.run("wait", self.id))

    @property
    def log(self) -> str:
        """What it wrote, to either stream."""
        return self.docker.logs(self.id)

    def wrote(self, text: str, within: float = 10.0) -> bool:
        """Whether it writes that within so many seconds; the engine copies its output a moment later."""
        until = time.monotonic() + within
        while text not in self.log:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def events(self, message: str) -> list[dict[str, Any]]:
        """Lines of the controller's log with this message."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("message") == message]

    def python(self, program: str) -> str:
        """Run a program inside, by its Python; returns what it prints."""
        return self.docker.run("exec", self.id, "python", "-c", program)

    def stop(self, patience: int = 30) -> int:
        """SIGTERM, KILL after `patience` seconds; returns its exit code (137 when it was killed)."""
        self.docker.run("stop", "--time", str(patience), self.id)
        return int(self.state["ExitCode"])


@contextmanager
def container(
    docker: Engine, options: Sequence[str], arguments: Sequence[str], image: str = HEADRACE
) -> Iterator[Container]:
    """Start one; it is removed in the end."""
    started = Container(docker, docker.run("run", "--detach", *options, image, *arguments).strip())
    try:
        yield started
    finally:
        docker.run("rm", "--force", "--volumes", started.id)


def empty_dir(folder: Path) -> Path:
    """A folder as Kubernetes makes it for an emptyDir: owned by root, open to all."""
    made = folder / "state"
    made.mkdir()
    made.chmod(0o777)
    return made


def free_ports(number: int, low: bool = False) -> list[int]:
    """TCP ports nobody listens on, and which no client gets by chance; `low`: below 1024, where only root and
    NET_BIND_SERVICE may listen."""
    choice = random.sample(range(600, 1024) if low else range(10_000, 20_000), 100)
    held = list(islice((each for each in map(_held, choice) if each), number))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def _held(port: int) -> socket.socket | None:
    held = socket.socket()
    try:
        held.bind(("0.0.0.0", port))
    except OSError:
        held.close()
        return None
    return held


def capabilities(status: Path) -> dict[str, str]:
    """User and capabilities of a process, from its /proc/PID/status."""
    return dict(re.findall(r"^(Uid|Gid|Cap\w+|NoNewPrivs):\t(\S+)", status.read_text(), re.MULTILINE))
