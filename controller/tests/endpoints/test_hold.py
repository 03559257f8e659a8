"""When a failed request is held, released or given up: tables of events with a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.endpoints.hold import (
    Asked,
    Changed,
    Decision,
    Elapsed,
    Event,
    Fetched,
    HoldLimits,
    HoldMachine,
    Left,
    Reason,
    Removed,
    Served,
    Stopped,
)
from controller.endpoints.table import PortKey

Script = list[tuple[float, Event]]

WEB = PortKey("default", "web", "http")
ONE, TWO, NONE = ("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), ()
OLD: Script = [(-200.0, Changed(WEB, ONE)), (-199.0, Served(WEB))]
PAIR: Script = [(-200.0, Changed(WEB, TWO)), (-199.0, Served(WEB))]
NEW: Script = [(0.0, Changed(WEB, ONE)), (0.5, Served(WEB))]


def ask(ticket: int = 1, round_: int = 0, key: PortKey = WEB) -> Asked:
    return Asked(ticket, key, round_)


def play(machine: HoldMachine, script: Script, until: float = 20.0) -> dict[int, tuple[float, Reason]]:
    """Feed the events at their times, and time itself whenever the machine wants it; ticket -> (when, why)."""
    decided: dict[int, tuple[float, Reason]] = {}
    for at, event in [*script, (until, Elapsed())]:
        while (due := machine.next_due) is not None and due < at:
            note(decided, machine.on(Elapsed(), due), due)
        note(decided, machine.on(event, at), at)
    return decided


def note(decided: dict[int, tuple[float, Reason]], decisions: list[Decision], at: float) -> None:
    for ticket, reason in decisions:
        assert ticket not in decided, "decided twice"
        decided[ticket] = (round(at, 3), reason)


@pytest.mark.parametrize(
    ("script", "at", "reason"),
    [
        pytest.param([*NEW, (0.505, ask())], 0.510, Reason.FRESH, id="just served: nginx gets 10 ms"),
        pytest.param([*NEW, (1.0, ask())], 1.0, Reason.FRESH, id="recent content: at once"),
        pytest.param([*NEW, (50.0, ask())], 50.0, Reason.FRESH, id="slow connect to content before: at once"),
        pytest.param([*OLD, (1.0, ask())], 4.0, Reason.DEADLINE, id="nothing new ever"),
        pytest.param([*PAIR, (1.0, ask())], 1.0, Reason.FRESH, id="another pod may work"),
        pytest.param([*PAIR, (1.0, ask(round_=1))], 4.0, Reason.DEADLINE, id="no other pod worked"),
        pytest.param([*NEW, (1.0, ask(round_=1))], 1.1, Reason.FRESH, id="second try after a pause"),
        pytest.param([*NEW, (1.0, ask(round_=2))], 4.0, Reason.FRESH, id="last try at the deadline"),
        pytest.param([*NEW, (1.0, ask(round_=3))], 1.0, Reason.ROUNDS, id="nginx allows no more rounds"),
        pytest.param(
            [*OLD, (1.0, ask()), (1.2, Changed(WEB, ONE)), (2.0, Served(WEB))], 2.01, Reason.FRESH, id="new content"
        ),
        pytest.param(
            [*OLD, (1.0, Changed(WEB, ONE)), (1.1, ask()), (2.0, Served(WEB))], 2.01, Reason.FRESH, id="changed before"
        ),
        pytest.param(
            [*NEW, (1.0, Changed(WEB, ONE)), (1.1, ask()), (2.0, Served(WEB))],
            2.01,
            Reason.FRESH,
            id="recent but replaced",
        ),
        pytest.param(
            [*OLD, (1.0, ask()), (1.2, Changed(WEB, ONE)), (2.0, Served(WEB)), (2.008, Fetched(ONE[0]))],
            2.018,
            Reason.FRESH,
            id="address fetched after the name",
        ),
        pytest.param(
            [*OLD, (1.0, ask()), (1.2, Changed(WEB, ONE)), (2.0, Served(WEB)), (2.008, Fetched("10.9.9.9"))],
            2.01,
            Reason.FRESH,
            id="someone else's address",
        ),
        pytest.param(
            [
                *OLD,
                (1.0, ask()),
                (1.2, Changed(WEB, ONE)),
                (2.0, Served(WEB)),
                (2.005, Changed(WEB, TWO)),
                (3.0, Served(WEB)),
            ],
            3.01,
            Reason.FRESH,
            id="changed again before release",
        ),
        pytest.param(
            [
                *OLD,
                (1.0, ask()),
                (1.2, Changed(WEB, NONE)),
                (2.0, Served(WEB)),
                (2.5, Changed(WEB, ONE)),
                (3.0, Served(WEB)),
            ],
            3.01,
            Reason.FRESH,
            id="an empty Service is no reason to go",
        ),
        pytest.param([*OLD, (1.0, ask()), (1.2, Changed(WEB, ONE))], 4.0, Reason.DEADLINE, id="nginx never asked"),
        pytest.param(
            [*OLD, (1.0, ask()), (1.2, Changed(WEB, ONE)), (3.995, Served(WEB))],
            4.0,
            Reason.FRESH,
            id="in the last moment",
        ),
        pytest.param([(1.0, ask())], 4.0, Reason.DEADLINE, id="unknown name"),
        pytest.param([*OLD, (1.0, ask()), (1.5, Removed(WEB))], 4.0, Reason.DEADLINE, id="Service deleted"),
        pytest.param([*OLD, (1.0, ask()), (1.5, Stopped())], 1.5, Reason.STOPPED, id="controller stops"),
    ],
)
def test_one_request(script: Script, at: float, reason: Reason) -> None:
    machine = HoldMachine()
    decided = play(machine, script)
    if reason is Reason.STOPPED:
        assert machine.counters.ended[reason] == 1
    else:
        assert decided == {1: (at, reason)}
    assert machine.counters.held_now == 0 and machine.next_due is None


def test_a_broken_backend_stops_making_people_wait() -> None:
    script: Script = [*OLD, (0.0, ask(1)), (3.5, ask(2)), (5.0, ask(3)), (13.1, ask(4))]
    decided = play(HoldMachine(), script)
    assert decided == {
        1: (3.0, Reason.DEADLINE),
        2: (3.5, Reason.BROKEN),
        3: (5.0, Reason.BROKEN),
        4: (16.1, Reason.DEADLINE),
    }


def test_new_content_clears_the_mark() -> None:
    script: Script = [
        *OLD, (0.0, ask(1)), (3.5, ask(2)), (4.0, Changed(WEB, ONE)), (4.2, ask(3)), (4.9, Served(WEB)),
    ]  # fmt: skip
    decided = play(HoldMachine(), script)
    assert decided[2] == (3.5, Reason.BROKEN) and decided[3] == (4.91, Reason.FRESH)


def test_a_deadline_after_news_leaves_no_mark() -> None:
    script: Script = [
        *OLD,
        (0.0, ask(1)),
        (2.9, Changed(WEB, ONE)),
        (3.1, ask(2)),
        (3.8, Served(WEB)),
    ]
    assert play(HoldMachine(), script) == {1: (3.0, Reason.DEADLINE), 2: (3.81, Reason.FRESH)}


def test_bounds_per_service_and_in_all() -> None:
    machine = HoldMachine(HoldLimits(per_service=2, total=3))
    admin, other = PortKey("default", "web", "admin"), PortKey("default", "other", "http")
    keys = [WEB, admin, WEB, other, other]
    decided = play(machine, [(0.0, ask(ticket, key=key)) for ticket, key in enumerate(keys)], until=1.0)
    assert decided == {2: (0.0, Reason.FULL), 4: (0.0, Reason.FULL)}
    machine.on(Left(0), 1.0)
    assert machine.on(ask(9), 1.0) == [] and machine.counters.held_now == 3
    assert machine.counters.ended[Reason.LEFT] == 1


def test_who_left_gets_nothing() -> None:
    machine = HoldMachine()
    assert (
        play(
            machine, [*OLD, (0.0, ask()), (1.0, Left(1)), (1.1, Left(1)), (1.2, Changed(WEB, ONE)), (2.0, Served(WEB))]
        )
        == {}
    )
    assert machine.counters.wait_seconds == pytest.approx(1.0)


def test_names_from_requests_are_forgotten() -> None:
    machine = HoldMachine()
    play(machine, [(0.0, ask(n, key=PortKey("a", f"s{n}", "p"))) for n in range(50)])
    play(machine, [*OLD, (21.0, Removed(WEB))], until=30.0)
    assert not machine._names and not machine._services and not machine._due


events = st.one_of(
    st.builds(Changed, st.just(WEB), st.sampled_from([NONE, ONE, TWO])),
    st.builds(Removed, st.just(WEB)),
    st.builds(Served, st.just(WEB)),
    st.builds(Fetched, st.sampled_from(TWO)),
    st.builds(Left, st.integers(0, 30)),
    st.builds(lambda round_: ask(0, round_), st.integers(0, 4)),
)


@given(st.lists(st.tuples(st.floats(0, 0.7), events), max_size=30))
def test_everyone_is_answered_once_and_in_time(steps: list[tuple[float, Event]]) -> None:
    machine = HoldMachine(HoldLimits(per_service=5))
    now = 0.0
    script: Script = []
    asked: dict[int, float] = {}
    for ticket, (pause, event) in enumerate(steps):
        now += pause
        if isinstance(event, Asked):
            event = event._replace(ticket=ticket)
            asked[ticket] = now
        script.append((now, event))
    decided = play(machine, script, until=now + 10)
    assert all(at - asked[ticket] <= 3.001 for ticket, (at, _) in decided.items())
    assert len(decided) + machine.counters.ended[Reason.LEFT] == len(asked)
    assert machine.counters.held_now == 0 and machine.next_due is None
    assert sum(machine.counters.ended.values()) == machine.counters.asked == len(asked)
