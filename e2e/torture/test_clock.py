"""Clocks that jump. The controller measures time with the monotonic clock; the date matters to certificates only.

Faked with libfaketime (Debian's package of that name) for the controller alone: nginx is linked statically and takes
the machine's clock, which a test may not touch.

Window: none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.torture.faults import mostly
from e2e.torture.world import World, open_directory, running_world

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
JUMPS = {"an hour ahead": "+3600", "ten years ahead": "+315360000", "ten years back": "-315360000"}


@pytest.fixture(scope="module")
def clock() -> Iterator[Path]:
    """A file with the offset in seconds."""
    assert LIBRARY, "apt-get install libfaketime"
    with open_directory() as directory:
        file = directory / "clock"
        file.write_text("+0")
        yield file


@pytest.fixture(scope="module")
def timed(clock: Path) -> Iterator[World]:
    """A world whose controller goes by that clock."""
    environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with open_directory() as directory, running_world(directory, environment=environment) as running:
        yield running


@pytest.mark.parametrize("jump", mostly(("ten years ahead",), tuple(JUMPS)))
def test_the_clock_jumps(timed: World, clock: Path, jump: str) -> None:
    """There and back; routes, endpoints and a start of the controller go on with it, and certificates stay."""
    offset = JUMPS[jump]
    with timed.load() as load:
        load.warm_up()
        for setting in (offset, "+0"):
            clock.write_text(setting)
            timed.change()
            timed.until_changed()
            timed.move("green" if setting == offset else "red")
            timed.headrace.until(timed.moved)
            timed.headrace.stop(kill=True)
            timed.headrace.start()
            time.sleep(0.5)
            assert timed.all_right()
    load.seen().assert_all_right(at_least=100)
    years = [line[10:14] for line in timed.headrace.log.read_text().split('"time":')[1:]]
    assert len(offset) < 6 or len(set(years)) > 1, "the controller saw the jump"
