"""A network namespace for the tests, with addresses for backends.

Guarantees: inside, `lo` is up, every address that `new_address` gives is local to this machine and
never given twice, and nothing can reach or be reached from outside. Leaving takes the thread back
(root's does; see `_leave`); the namespace and all its addresses vanish with the last process in it,
also after a crash.

Why: the API server refuses endpoints in 127.0.0.0/8, so backends need other addresses. Adding them
to the machine itself would leave traces on it and could shadow real hosts.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
from contextlib import suppress
from types import TracebackType
from typing import Self

from e2e.controlplane import linux

BACKENDS = ipaddress.IPv4Network("10.231.0.0/16")

_NO_PERMISSION = (
    "a network namespace needs root; without it, build first (python -m e2e.controlplane.build), "
    "then run the tests as: unshare --user --map-root-user python -m pytest ..."
)


class PrivateNetwork:
    """Context manager: the calling thread, and what it starts, live in a namespace of their own."""

    def __init__(self) -> None:
        self._addresses = BACKENDS.hosts()
        self._outside = -1

    def __enter__(self) -> Self:
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.unshare_network()
            _ip("link", "set", "lo", "up")
            # A local route makes the whole range ours at once: no address to add or to remove.
            _ip("route", "add", "local", str(BACKENDS), "dev", "lo")
        except BaseException as problem:
            self._leave()
            if isinstance(problem, PermissionError):
                raise PermissionError(_NO_PERMISSION) from problem
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def new_address(self) -> str:
        """Return an address that no one had before."""
        return str(next(self._addresses))

    def _leave(self) -> None:
        with suppress(PermissionError):  # from a user namespace there is no way back, nor need
            linux.enter_network(self._outside)
        os.close(self._outside)


def _ip(*arguments: str) -> None:
    try:
        subprocess.run(["ip", *arguments], check=True)
    except FileNotFoundError:
        raise RuntimeError("the command `ip` is missing: install the package iproute2") from None
