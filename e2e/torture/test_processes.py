"""Processes that die or stand still, at any moment and at every step of an apply.

The controller may be away without anybody noticing. Of nginx's master and workers the window is stated below.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from e2e.torture.checker import Window
from e2e.torture.faults import controller_of, died, faulty, master_of, mostly, stopped, struck, window, workers_of
from e2e.torture.world import World

STEPS = ("write", "test", "switch", "reload", "probe", "keep")
POINTS = (*(f"before:{step}" for step in STEPS), "after:keep")

MASTER_SECONDS = 1.5
"""From the death of the master until all is served by its successor. The workers that it leaves end what they have."""

WORKER_SECONDS = 0.5
"""From the death of a worker, which takes its connections with it, until another one accepts."""


def test_nothing_happens(world: World) -> None:
    """Without a fault nothing is lost while routes change."""
    with world.load() as load:
        load.warm_up()
        for _ in range(3):
            world.change()
            world.until_changed()
            time.sleep(0.3)
    print(load.seen())
    load.seen().assert_all_right(at_least=100)


@pytest.mark.parametrize("point", mostly(("before:write", "before:reload", "before:keep"), POINTS))
def test_the_controller_is_killed_in_an_apply(world: World, point: str) -> None:
    """Window: none."""
    with world.load() as load:
        load.warm_up()
        with faulty(world.headrace, f"crash@{point}"):
            world.change()
            assert died(world.headrace)
            time.sleep(0.3)
        world.until_changed()
    load.seen().assert_all_right(at_least=100)


@pytest.mark.long
def test_the_controller_is_killed_at_every_file_operation_of_an_apply(world: World) -> None:
    """Window: none."""
    with world.load() as load:
        load.warm_up()
        for number in range(1, 200):
            with faulty(world.headrace, f"crash@file:{number}"):
                world.change()
                ended = died(world.headrace, 3)
            world.until_changed()
            if not ended:
                break
    print(f"kill -9 of the controller at each of {number - 1} file operations: {load.seen()}")
    assert 10 < number < 199
    load.seen().assert_all_right(at_least=1000)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.long
def test_everything_is_killed_in_an_apply(world: World, point: str) -> None:
    """As when the node loses power. Window: until the controller is started again, and ready."""
    with world.load() as load:
        load.warm_up()
        with window(0.2) as stated:
            with faulty(world.headrace, f"kill-all@{point}"):
                world.change()
                assert died(world.headrace)
            world.until_changed()
        time.sleep(0.5)
    load.seen().outside(*stated).assert_all_right(at_least=20)


def test_the_controller_is_killed_at_random_moments(world: World) -> None:
    """Window: none."""
    moments = random.Random(6)
    with world.load() as load:
        load.warm_up()
        for _ in range(3):
            world.change()
            time.sleep(moments.uniform(0, 0.5))
            world.headrace.stop(kill=True)
            world.headrace.start(wait=False)
            time.sleep(moments.uniform(0.1, 1.0))
            world.headrace.stop(kill=True)
            world.headrace.start()
        world.until_changed()
    load.seen().assert_all_right(at_least=100)


@pytest.mark.parametrize(
    "point", mostly(("at rest", "before:probe"), ("at rest", *(f"before:{step}" for step in STEPS)))
)
def test_the_master_is_killed(world: World, point: str) -> None:
    """Window: `MASTER_SECONDS`."""
    with world.load() as load:
        load.warm_up()
        if point == "at rest":
            begun = time.monotonic()
            old = master_of(world.headrace)
            os.kill(old, signal.SIGKILL)
            world.headrace.until(lambda: master_of(world.headrace) not in (0, old))
        else:
            with faulty(world.headrace, f"kill-nginx@{point}"):
                armed = time.monotonic()
                world.change()
                world.until_changed()
                world.headrace.until(lambda: struck(world.headrace) > armed)
                begun = struck(world.headrace)
        time.sleep(max(0.0, begun + MASTER_SECONDS - time.monotonic()))
        world.change()
        world.until_changed()
    stated = Window(begun, begun + MASTER_SECONDS)
    seen = load.seen()
    print(f"kill -9 of the master, {point}: {seen.during(stated)}")
    seen.outside(stated).assert_all_right(at_least=50)


def test_a_worker_is_killed(world: World) -> None:
    """Window: `WORKER_SECONDS`, and in it only what that worker had."""
    with world.load() as load:
        load.warm_up()
        stated = []
        for _ in range(3):
            begun = time.monotonic()
            os.kill(workers_of(world.headrace)[0], signal.SIGKILL)
            stated.append(Window(begun, begun + WORKER_SECONDS))
            time.sleep(1)
    seen = load.seen()
    print(f"kill -9 of a worker, three times: {seen.during(*stated)}")
    seen.outside(*stated).assert_all_right(at_least=100)
    assert set(seen.kinds) <= {"reset", "ended"}


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(200)])])
def test_the_controller_stands_still(world: World, seconds: int) -> None:
    """Window: none. What changes meanwhile is served once it goes on."""
    with world.load() as load:
        load.warm_up()
        with stopped([controller_of(world.headrace)]):
            world.change()
            time.sleep(seconds)
            os.kill(workers_of(world.headrace)[0], 0)
        world.until_changed()
    load.seen().assert_all_right(at_least=100)
    assert load.seen().latency().slowest < 1


@pytest.mark.long
def test_the_controller_stands_still_in_an_apply(world: World) -> None:
    """Window: none."""
    with world.load() as load:
        load.warm_up()
        for wait in (0.1, 0.2, 0.3):
            world.change()
            time.sleep(wait)
            with stopped([controller_of(world.headrace)]):
                time.sleep(1.5)
            world.until_changed()
    load.seen().assert_all_right(at_least=100)


def test_a_worker_stands_still(world: World) -> None:
    """Window: as long as it does. Its clients wait for it and lose nothing; others never notice."""
    with world.load() as load:
        load.warm_up()
        with window(0.5) as stated, stopped(workers_of(world.headrace)[:1]):
            time.sleep(2)
            world.change()
            time.sleep(1)
        world.until_changed()
        time.sleep(1)
    seen = load.seen()
    print(f"SIGSTOP of a worker: {seen.during(*stated)}")
    seen.assert_all_right(at_least=100)
    assert seen.outside(*stated).latency().slowest < 1
