"""What a reload that waits says about it."""

from __future__ import annotations

import asyncio

import pytest

from controller.dataplane.turn import Cause, ReloadLimits, Turn


async def waits_in_vain(turn: Turn) -> bool:
    """Something changes at once, so that the wait ends without a reload. Whether it did."""
    changed = asyncio.Event()
    changed.set()
    return not await turn.come(changed)


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def told(caplog: pytest.LogCaptureFixture) -> list[object]:
    return [record.__dict__["cause"] for record in caplog.records if record.msg == "reload is held back"]


async def test_a_long_wait_is_explained_once(caplog: pytest.LogCaptureFixture) -> None:
    turn = Turn(ReloadLimits(interval=60.0, burst=1), lambda: 0)
    turn.take()
    assert await waits_in_vain(turn) and await waits_in_vain(turn)
    assert told(caplog) == [Cause.PACE]
    turn.forget()
    assert await waits_in_vain(turn)
    assert told(caplog) == [Cause.PACE] * 2


async def test_the_usual_wait_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    turn = Turn(ReloadLimits(interval=0.5, burst=1), lambda: 0)
    turn.take()
    assert await waits_in_vain(turn)
    assert turn.take() > 0
    assert told(caplog) == []
