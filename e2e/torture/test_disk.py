"""Disks that are full or cannot be written, and files that cannot be opened.

Window, unless a test says otherwise: none. What is served stays served, endpoints go on to change (they need no disk),
and what could not be written is written once it can be, without anybody's help.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from controller.tests.live.authorities import Authority, secret
from e2e.torture.checker import Window
from e2e.torture.faults import (
    controller_of,
    died,
    faulty,
    few_files,
    full,
    kill_all,
    master_of,
    mostly,
    no_inodes,
    small_disk,
    struck,
    window,
    workers_of,
)
from e2e.torture.world import World, open_directory, running_world

AGAIN = 10.0
"""Seconds after the end of a fault within which everything is as it should be."""

MASTER_SECONDS = 3.0
"""From the death of nginx's master until all is served by its successor, which may not come up at once."""

BREAKS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {"full": full, "no inodes": no_inodes}


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with open_directory() as directory, small_disk(directory / "disk", size="4m", inodes=600) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def small(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose state directory is on a disk of its own."""
    with running_world(tmp_path_factory.mktemp("small"), state=disk / "state") as running:
        yield running


def endpoints_change(world: World) -> None:
    """They do so at once, whatever the disk does."""
    for name in ("red", "blue"):
        world.move(name)
        world.headrace.until(world.moved, 3, "endpoints change")


def lives(world: World) -> bool:
    """Whether the controller runs and is ready."""
    return not died(world.headrace, 0) and world.headrace.ask_health("/readyz").status == 200


@pytest.mark.parametrize("how", mostly(("full",), tuple(BREAKS)))
def test_routes_and_endpoints_change_on_a_broken_disk(small: World, disk: Path, how: str) -> None:
    with small.load() as load:
        load.warm_up()
        with BREAKS[how](disk):
            before = small.turn
            small.change()
            time.sleep(2)
            assert not small.changed() and small.changed(before), "the last good configuration stays"
            endpoints_change(small)
            assert lives(small)
        small.until_changed(AGAIN)
    load.seen().assert_all_right(at_least=100)


@pytest.mark.parametrize("how", mostly(("full",), tuple(BREAKS)))
def test_the_controller_starts_on_a_broken_disk(small: World, disk: Path, how: str) -> None:
    with small.load() as load:
        load.warm_up()
        with BREAKS[how](disk):
            small.headrace.stop(kill=True)
            small.headrace.start()
            small.change()
            time.sleep(1)
            assert lives(small)
        small.until_changed(AGAIN)
    load.seen().assert_all_right(at_least=100)


def test_a_certificate_is_rotated_on_a_full_disk(small: World, disk: Path) -> None:
    """The old one stays until there is room for the new one."""
    pair = Authority("other").issue("iron.test")
    leaf = x509.load_pem_x509_certificate(pair[0]).public_bytes(Encoding.DER)
    with small.load() as load:
        load.warm_up()
        old = small.headrace.certificate("iron.test")
        with full(disk):
            small.headrace.write("iron.yaml", secret("iron", pair) | {"type": "kubernetes.io/tls"})
            time.sleep(2)
            assert small.headrace.certificate("iron.test") == old
            assert lives(small)
        small.headrace.until(lambda: small.headrace.certificate("iron.test") == leaf, AGAIN)
    load.seen().assert_all_right(at_least=100)


@pytest.mark.long
@pytest.mark.parametrize("how", BREAKS)
def test_nginx_dies_on_a_broken_disk(small: World, disk: Path, how: str) -> None:
    """Window: `MASTER_SECONDS`."""
    with small.load() as load:
        load.warm_up()
        with BREAKS[how](disk):
            begun = time.monotonic()
            os.kill(master_of(small.headrace), signal.SIGKILL)
            time.sleep(MASTER_SECONDS + 1)
            assert lives(small)
        small.change()
        small.until_changed(AGAIN)
    seen, stated = load.seen(), Window(begun, begun + MASTER_SECONDS)
    print(f"kill -9 of the master on a disk with {how}: {seen.during(stated)}")
    seen.outside(stated).assert_all_right(at_least=20)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_file_operation_of_an_apply_fails(small: World) -> None:
    """One after the other, each for once: the next attempt is a few seconds later, and goes through."""
    with small.load() as load:
        load.warm_up()
        for number in range(1, 200):
            with faulty(small.headrace, f"fail-EIO@file:{number}"):
                armed = time.monotonic()
                small.change()
                small.until_changed(AGAIN)
                time.sleep(0.3)
                assert lives(small)
                if struck(small.headrace) < armed:
                    break
    print(f"each of {number - 1} file operations fails: {load.seen()}")
    assert 10 < number < 199
    load.seen().assert_all_right(at_least=1000)


def test_the_state_directory_becomes_read_only(small: World) -> None:
    """As a file system does after an error. A mount cannot be made so while nginx writes its logs: the controller's
    own operations fail instead."""
    with small.load() as load:
        load.warm_up()
        with faulty(small.headrace, "fail-EROFS-on@file:1"):
            before = small.turn
            small.change()
            time.sleep(2)
            assert not small.changed() and small.changed(before)
            endpoints_change(small)
            time.sleep(1.5)  # the endpoints are to be saved
            assert lives(small)
        small.until_changed(AGAIN)
    load.seen().assert_all_right(at_least=100)


def test_a_start_in_a_read_only_directory_is_refused_clearly(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as mounted, running_world(tmp_path, state=mounted / "state") as world:
        kill_all(world.headrace)
        time.sleep(0.5)
        subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
        world.headrace.start(wait=False)
        assert died(world.headrace) and world.headrace.process
        assert world.headrace.process.returncode == 2
        last = world.headrace.log.read_text().splitlines()[-1]
        assert "--state-dir" in last and "Read-only file system" in last
        subprocess.run(["mount", "-o", "remount,rw", str(mounted)], check=True)
        world.headrace.start()
        world.until_changed()
        assert world.all_right()


def test_the_controller_is_out_of_file_descriptors(small: World) -> None:
    with small.load() as load:
        load.warm_up()
        before = small.turn
        with few_files(controller_of(small.headrace)):
            small.change()
            time.sleep(4)
            assert not died(small.headrace, 0)
        small.headrace.until(lambda: small.changed(before) or small.changed())
        small.until_changed(AGAIN + 5)
        assert lives(small)
        endpoints_change(small)
    load.seen().assert_all_right(at_least=100)


@pytest.mark.long
def test_nginx_dies_while_the_controller_is_out_of_file_descriptors(small: World) -> None:
    """Window: until it has some again, and the pause before the next attempt, at most `AGAIN`."""
    with small.load() as load:
        load.warm_up()
        with window(AGAIN) as stated, few_files(controller_of(small.headrace)):
            old = master_of(small.headrace)
            os.kill(old, signal.SIGKILL)
            time.sleep(3)
            assert not died(small.headrace, 0)
        small.headrace.until(lambda: master_of(small.headrace) not in (0, old) and small.all_right(), AGAIN)
        stated = [Window(stated[0].begin, time.monotonic())]
        small.change()
        small.until_changed()
        time.sleep(1)
    load.seen().outside(*stated).assert_all_right(at_least=20)


def test_nginx_is_out_of_file_descriptors(tmp_path: Path) -> None:
    """Window: as long as it is; connections that are open go on. Workers are root here, since the directory is closed
    to others: the limits of another user's process may be beyond a test's powers."""
    with running_world(tmp_path) as world, world.load() as load:
        load.warm_up()
        with window(1.0) as stated, ExitStack() as limits:
            for worker in workers_of(world.headrace):
                limits.enter_context(few_files(worker))
            time.sleep(2)
        time.sleep(1)
        world.change()
        world.until_changed()
    seen = load.seen()
    print(f"nginx out of file descriptors: {seen.during(*stated)}")
    seen.outside(*stated).assert_all_right(at_least=50)
