"""A real nginx in a directory of its own: layouts, small configurations and a client."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from controller.dataplane.binary import find_nginx, inspect_nginx
from controller.dataplane.driver import DataPlane
from controller.dataplane.procfs import process
from controller.dataplane.turn import ReloadLimits
from controller.dataplane.worker_user import worker_user
from controller.model.errors import NginxUnusable
from controller.model.fragments import Fragment, FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.model.refs import Kind, ObjectKey
from controller.tests.ports import free_port

AT_ONCE = ReloadLimits(interval=0.0)


@pytest.fixture(scope="session")
def nginx() -> NginxBinary:
    try:
        return asyncio.run(inspect_nginx(find_nginx())).binary
    except NginxUnusable as why:
        pytest.skip(str(why))


@pytest.fixture
def root() -> Iterator[Path]:
    """Short, because a unix socket's path is at most 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="hr-dataplane-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def plain_layout(root: Path) -> Layout:
    """For tests without nginx."""
    layout = Layout(f"{root}/state", f"{root}/run", NginxBinary("/nonexistent/nginx", (1, 31, 3)))
    Path(layout.state_dir).mkdir()
    return layout


@pytest.fixture
def layout(root: Path, nginx: NginxBinary) -> Iterator[Layout]:
    """For a real nginx; whatever of it still runs at the end is killed, by process id."""
    user = worker_user(str(root), str(root)).directive
    layout = Layout(f"{root}/state", f"{root}/run", nginx, http_port=free_port(), worker_user=user)
    yield layout
    kill_session(layout)


def kill_session(layout: Layout) -> None:
    with suppress(OSError, ValueError):
        session = int(Path(layout.pid_file).read_text())
        for pid in session_members(session):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def session_members(session: int) -> list[int]:
    """Processes of nginx in this session, the master among them."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    found = (process(pid) for pid in pids)
    return [p.pid for p in found if p and p.session == session and p.title.startswith("nginx: ")]


@pytest.fixture
async def plane(layout: Layout) -> AsyncIterator[DataPlane]:
    """Output of nginx goes to files in the state directory's parent."""
    plane = new_plane(layout)
    yield plane
    await plane.stop(0.5)


def new_plane(layout: Layout, limits: ReloadLimits = AT_ONCE, **options: float) -> DataPlane:
    log = os.open(f"{layout.state_dir}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return DataPlane(layout, limits=limits, output=os.dup(log), errors=os.dup(log), **options)
    finally:
        os.close(log)


def ingress(name: str) -> ObjectKey:
    return ObjectKey(Kind.INGRESS, "default", name)


def host(name: str, text: str, port: int, body: str = "") -> Fragment:
    """A server that answers `text`; `body` is added to it as it is."""
    server = f"server {{ listen 127.0.0.1:{port}; server_name {name}; %s }}\n"
    answer = f'{body} location / {{ default_type text/plain; return 200 "{text}"; }}'
    return Fragment(f"servers/{name}.conf", server % answer, (ingress(name),), server % "return 503;")


def fragments_for(layout: Layout, *hosts: Fragment, main: str = "", events: str = "", http: str = "") -> FragmentSet:
    """The smallest configuration that keeps the contract of the renderer."""
    user = f"user {layout.worker_user};" if layout.worker_user else ""
    entry = f"""daemon off; pid {layout.pid_file}; error_log stderr notice; {user} {main}
events {{ worker_connections 512; {events} }}
http {{
    client_body_temp_path {layout.temp_dir}/body; proxy_temp_path {layout.temp_dir}/proxy;
    include generation.conf; access_log off; server_names_hash_bucket_size 64; {http}
    server {{ listen unix:{layout.probe_socket}; location = /generation {{ return 200 "$hr_generation"; }} }}
    include servers/*.conf;
}}
"""
    return FragmentSet.of((Fragment("nginx.conf", entry), *hosts))


async def get(port: int, name: str, path: str = "/") -> tuple[int, str]:
    """Status and body of one request on a fresh connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        reply = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = reply.partition("\r\n\r\n")
    return int(head.split(" ", 2)[1]), body


def listing(directory: str | Path) -> list[str]:
    return sorted(entry.name for entry in Path(directory).iterdir())


async def until(condition: Callable[[], bool], within: float = 2.0) -> None:
    """Fails the test when the condition does not come true in time."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def serves(port: int, name: str, within: float = 2.0) -> float:
    """Seconds until a request is answered; fails the test when it takes longer than `within`."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() < begun + within:
        with suppress(OSError, IndexError):
            await get(port, name)
            return loop.time() - begun
        await asyncio.sleep(0.01)
    raise AssertionError(f"not served within {within} s")
