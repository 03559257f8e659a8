"""Test backends: HTTP servers that answer with what they received, each a process at its own IP.

Guarantees: when `start` returns, connections are taken; after `stop` or `kill` they are refused,
until the backend is started again at the same address; none outlives the `Backends` it came from.

Why processes: a killed one breaks its connections just as a killed pod does.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.controlplane.network import PrivateNetwork
from e2e.controlplane.processes import Program

PORT = 8080
_SERVER = Path(__file__).parent / "echo_server.py"
_BACKLOG = 1024


class Backend:
    """One backend; it keeps its name and address over restarts."""

    def __init__(self, name: str, address: str, port: int, log: Path) -> None:
        self.name = name
        self.address = address
        self.port = port
        self._log = log
        self._program: Program | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{self.address}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._program is not None and self._program.running

    def start(self) -> None:
        """Take connections from now on. Does nothing when it is running."""
        if self.running:
            return
        # The socket listens before the process does, so the kernel holds early connections for it.
        listener = socket.create_server((self.address, self.port), backlog=_BACKLOG)
        with listener:
            descriptor = listener.fileno()
            command = [sys.executable, "-I", str(_SERVER), self.name, str(descriptor)]
            self._program = Program(command, self._log, pass_fds=[descriptor])

    def stop(self) -> None:
        """End it as Kubernetes ends a pod: running requests finish, idle connections close."""
        if self._program:
            self._program.stop()

    def kill(self) -> None:
        """End it as a crash does: connections break."""
        if self._program:
            self._program.kill()


class Backends:
    """Context manager that starts backends and ends all of them."""

    def __init__(self, network: PrivateNetwork, folder: Path) -> None:
        """`network` gives the addresses; `folder` takes the logs."""
        self._network = network
        self._folder = folder
        self._started: list[Backend] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for backend in self._started:
            backend.kill()

    def start(self, name: str, port: int = PORT) -> Backend:
        """Start a backend at an address that no one had before."""
        address = self._network.new_address()
        backend = Backend(name, address, port, self._folder / f"{name}-{address}.log")
        backend.start()
        self._started.append(backend)
        return backend
