"""How a container of the image starts and ends, and what it makes of the rights it gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.image.client import eventually, get
from e2e.image.container import READ_ONLY, RESTRICTED, Container, container, empty_dir, free_ports
from e2e.image.manifests import Manifests
from e2e.images import Engine
from e2e.images.build import APPLICATION


@dataclass(frozen=True)
class Alone:
    """A container for one test, with a backend of its own."""

    container: Container
    http: int
    health: int


@contextmanager
def alone(
    docker: Engine, folder: Path, options: Sequence[str], *more: str, low: bool = False, volume: str = ""
) -> Iterator[Alone]:
    """Not awaited: the test says what it expects. `volume` for the state; an empty folder where it has no name."""
    http, https = free_ports(2, low=low)
    health, backend = free_ports(2)
    manifests = Manifests(folder, backend)
    manifests.serve("plain.example.com")
    ports = [f"--http-port={http}", f"--https-port={https}", f"--healthz-port={health}"]
    volumes = (f"{manifests.folder}:/manifests:ro", f"{volume or empty_dir(folder)}:/var/lib/headrace")
    options = (*options, *(f"--volume={each}" for each in volumes))
    with (
        container(docker, READ_ONLY, ["--drain", f"--port={backend}"], APPLICATION),
        container(docker, options, ["run", "--manifests=/manifests", *ports, *more]) as started,
    ):
        yield Alone(started, http, health)


def ready(it: Alone) -> None:
    try:
        eventually(lambda: get(it.health, "localhost", "/readyz"), 200)
    except (OSError, AssertionError) as fault:
        raise AssertionError(f"not ready: {fault}\n{it.container.log}") from fault
    eventually(lambda: get(it.http, "plain.example.com"), 200)


def test_sigterm_finishes_what_has_begun_and_ends_with_0(docker: Engine, tmp_path: Path) -> None:
    with alone(docker, tmp_path, RESTRICTED) as it, ThreadPoolExecutor() as pool:
        ready(it)
        slow = pool.submit(get, it.http, "plain.example.com", "/slow?seconds=3")
        eventually(lambda: get(it.http, "plain.example.com"), 200)
        assert it.container.stop() == 0
        assert slow.result().status == 200
        with pytest.raises(OSError):
            get(it.http, "plain.example.com")


def test_it_serves_on_for_the_grace_period_but_is_not_ready(docker: Engine, tmp_path: Path) -> None:
    with alone(docker, tmp_path, RESTRICTED, "--shutdown-grace-period=3") as it, ThreadPoolExecutor() as pool:
        ready(it)
        stopped = pool.submit(it.container.stop)
        eventually(lambda: get(it.health, "localhost", "/readyz"), 503, within=2.5)
        assert get(it.http, "plain.example.com").status == 200
        assert stopped.result() == 0


def test_low_ports_with_the_capability(docker: Engine, tmp_path: Path) -> None:
    """As with hostNetwork: NET_BIND_SERVICE, and no no-new-privileges. The log goes where it should all the same."""
    with alone(docker, tmp_path, (*READ_ONLY, "--cap-add", "NET_BIND_SERVICE"), low=True) as it:
        assert it.http < 1024
        ready(it)
        assert it.container.wrote("GET / HTTP/1.1")
        assert it.container.stop() == 0


def test_low_ports_without_it_are_named_in_the_log(docker: Engine, tmp_path: Path) -> None:
    with alone(docker, tmp_path, RESTRICTED, low=True) as it:
        assert it.container.wrote("ports below 1024 need the capability NET_BIND_SERVICE"), it.container.log
        assert get(it.health, "localhost", "/readyz").status == 503


def test_without_the_capability_it_says_what_is_missing(docker: Engine, tmp_path: Path) -> None:
    with alone(docker, tmp_path, READ_ONLY) as it:
        assert it.container.exit_code() == 1
        assert "add it in securityContext.capabilities" in it.container.log


def test_the_state_survives_a_new_container(docker: Engine, tmp_path: Path) -> None:
    """A volume made by the engine has the owner that the image gives the folder."""
    volume = docker.run("volume", "create").strip()
    try:
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            with alone(docker, folder, RESTRICTED, volume=volume) as it:
                ready(it)
                assert bool(it.container.events("last good generation served")) == bool(number)
    finally:
        docker.run("volume", "rm", volume)


def test_any_user_may_run_it(docker: Engine, tmp_path: Path) -> None:
    """As on OpenShift, which picks the number."""
    with alone(docker, tmp_path, (*RESTRICTED, "--user", "1000620000:0")) as it:
        ready(it)
