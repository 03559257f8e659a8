"""Where a failed request goes and when, or why it is given up: tables of events with a clock of our own."""

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
    HoldLimits,
    HoldMachine,
    Left,
    Place,
    Reason,
    Removed,
    Stopped,
)
from controller.endpoints.table import PortKey

Script = list[tuple[float, Event]]

WEB = PortKey("default", "web", "http")
A, B, C = ("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80)
OLD: Script = [(-200.0, Changed(WEB, (A,)))]
PAIR: Script = [(-200.0, Changed(WEB, (A, B)))]


def ask(ticket: int = 1, *tried: Place, round_: int = 0, left: float = 3.0, received: bool = False) -> Asked:
    return Asked(ticket, WEB, round_, frozenset(tried or (A,)), left, received)


def play(machine: HoldMachine, script: Script, until: float = 20.0) -> dict[int, tuple[float, Reason | Place]]:
    """Feed the events at their times, and time itself whenever the machine wants it; ticket -> (when, where or why)."""
    decided: dict[int, tuple[float, Reason | Place]] = {}
    for at, event in [*script, (until, Elapsed())]:
        while (due := machine.next_due) is not None and due < at:
            note(decided, machine.on(Elapsed(), due), due)
        note(decided, machine.on(event, at), at)
    return decided


def note(decided: dict[int, tuple[float, Reason | Place]], decisions: list[Decision], at: float) -> None:
    for ticket, reason, place in decisions:
        assert ticket not in decided, "decided twice"
        assert (place is not None) == (reason is Reason.FRESH)
        decided[ticket] = (round(at, 3), place or reason)


@pytest.mark.parametrize(
    ("script", "at", "outcome"),
    [
        pytest.param([(0.0, Changed(WEB, (B,))), (1.0, ask())], 1.0, B, id="the pod was withdrawn: to the other"),
        pytest.param([*PAIR, (1.0, ask())], 1.0, B, id="another pod may work"),
        pytest.param([*PAIR, (1.0, ask(1, A, B))], 3.5, (A, B), id="all were tried: wait, then a last attempt"),
        pytest.param([*OLD, (1.0, ask()), (1.2, Changed(WEB, (B,)))], 1.2, B, id="news come while it waits"),
        pytest.param([*OLD, (1.0, ask()), (1.2, Changed(WEB, (A, B)))], 1.2, B, id="a pod is added"),
        pytest.param([*OLD, (1.0, ask()), (1.2, Changed(WEB, ()))], 3.5, Reason.EMPTY, id="no pod is left"),
        pytest.param(
            [*OLD, (1.0, ask()), (1.2, Changed(WEB, ())), (2.0, Changed(WEB, (A,)))], 2.0, A, id="it comes back"
        ),
        pytest.param([(0.0, Changed(WEB, (A,))), (1.0, ask())], 1.1, A, id="young: about to listen"),
        pytest.param(
            [(0.0, Changed(WEB, (A,))), (1.0, ask()), (1.05, Changed(WEB, ())), (2.0, Changed(WEB, (B,)))],
            2.0, B, id="gone before the pause is over",
        ),
        pytest.param([(0.0, Changed(WEB, (A,))), (1.0, ask(round_=2))], 1.4, A, id="longer pauses later"),
        pytest.param([*OLD, (1.0, ask(round_=3))], 3.5, A, id="in its last round"),
        pytest.param([*PAIR, (1.0, ask(round_=4))], 1.0, Reason.ROUNDS, id="nginx allows no more rounds"),
        pytest.param([*PAIR, (1.0, ask(left=0.0))], 1.0, B, id="no time left, but nothing to wait for either"),
        pytest.param([*OLD, (1.0, ask(left=0.5))], 1.0, Reason.DEADLINE, id="after its last attempt"),
        pytest.param([*OLD, (1.0, ask(left=1.0))], 1.5, A, id="what is left of its time"),
        pytest.param([(1.0, ask())], 3.5, Reason.DEADLINE, id="unknown name"),
        pytest.param([*OLD, (1.0, ask()), (1.5, Removed(WEB))], 3.5, Reason.DEADLINE, id="Service deleted"),
        pytest.param([*PAIR, (1.0, ask(received=True))], 1.5, Reason.DEADLINE, id="received, and the pod is there"),
        pytest.param([(0.0, Changed(WEB, (A,))), (1.0, ask(received=True))], 1.5, Reason.DEADLINE, id="or is young"),
        pytest.param([*OLD, (1.0, ask(received=True)), (1.3, Changed(WEB, (B,)))], 1.3, B, id="withdrawn a bit later"),
        pytest.param([(0.0, Changed(WEB, (B,))), (1.0, ask(received=True))], 1.0, B, id="withdrawn before"),
    ],
)  # fmt: skip
def test_one_request(script: Script, at: float, outcome: Reason | Place | tuple[Place, Place]) -> None:
    machine = HoldMachine()
    decided = play(machine, script)
    assert decided.keys() == {1} and decided[1][0] == at
    assert decided[1][1] in (outcome if outcome == (A, B) else (outcome,))
    assert machine.counters.held_now == 0 and machine.next_due is None


def test_held_requests_spread_over_the_pods() -> None:
    script: Script = [*OLD, *((0.0, ask(n)) for n in range(8)), (1.0, Changed(WEB, (B, C)))]
    places = [place for _, place in play(HoldMachine(), script).values()]
    assert places.count(B) == places.count(C) == 4


def test_a_broken_backend_stops_making_people_wait() -> None:
    script: Script = [*OLD, (0.0, ask(1)), (2.5, ask(2, left=0.5)), (3.0, ask(3)), (12.4, ask(4)), (12.6, ask(5))]
    assert play(HoldMachine(), script) == {
        1: (2.5, A),
        2: (2.5, Reason.DEADLINE),
        3: (3.0, Reason.BROKEN),
        4: (12.4, Reason.BROKEN),
        5: (15.1, A),
    }


def test_one_that_ends_connections_does_neither_and_may_still_be_held_for_refusing() -> None:
    script: Script = [*OLD, (0.0, ask(1, received=True)), (0.6, ask(2, received=True)), (0.7, ask(3))]
    assert play(HoldMachine(), script) == {1: (0.5, Reason.DEADLINE), 2: (0.6, Reason.BROKEN), 3: (3.2, A)}


def test_new_content_clears_the_mark() -> None:
    script: Script = [*OLD, (0.0, ask(1, left=0.1)), (0.5, ask(2)), (4.0, Changed(WEB, (B,))), (4.2, ask(3))]
    decided = play(HoldMachine(), script)
    assert decided[2] == (0.5, Reason.BROKEN) and decided[3] == (4.2, B)


def test_bounds_per_service_and_in_all() -> None:
    machine = HoldMachine(HoldLimits(per_service=2, total=3))
    admin, other = PortKey("default", "web", "admin"), PortKey("default", "other", "http")
    keys = [WEB, admin, WEB, other, other]
    script: Script = [(0.0, ask(ticket)._replace(key=key)) for ticket, key in enumerate(keys)]
    assert play(machine, script, until=1.0) == {2: (0.0, Reason.FULL), 4: (0.0, Reason.FULL)}
    machine.on(Left(0), 1.0)
    assert machine.on(ask(9), 1.0) == [] and machine.counters.held_now == 3
    assert machine.counters.ended[Reason.LEFT] == 1


def test_who_left_gets_nothing() -> None:
    machine = HoldMachine()
    assert play(machine, [*OLD, (0.0, ask()), (1.0, Left(1)), (1.1, Left(1)), (1.2, Changed(WEB, (B,)))]) == {}
    assert machine.counters.wait_seconds == pytest.approx(1.0)


def test_when_the_controller_stops_everyone_gets_the_failure() -> None:
    machine = HoldMachine()
    machine.on(ask(), 0.0)
    assert machine.on(Stopped(), 1.5) == [Decision(1, Reason.STOPPED)]
    assert machine.counters.held_now == 0 and machine.next_due is None


def test_names_from_requests_are_forgotten() -> None:
    machine = HoldMachine()
    play(machine, [(0.0, ask(n)._replace(key=PortKey("a", f"s{n}", "p"))) for n in range(50)])
    play(machine, [(20.5, Changed(WEB, (A,))), (21.0, Removed(WEB))], until=30.0)
    assert not machine._names and not machine._services and not machine._due


places = st.sampled_from([(), (A,), (A, B), (B, C)])
events = st.one_of(
    st.builds(Changed, st.just(WEB), places),
    st.builds(Removed, st.just(WEB)),
    st.builds(Left, st.integers(0, 30)),
    st.builds(
        lambda tried, round_, left, received: Asked(0, WEB, round_, frozenset(tried), left, received),
        places, st.integers(0, 5), st.floats(-1, 3), st.booleans(),
    ),
)  # fmt: skip


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
    assert all(at - asked[ticket] <= 2.501 for ticket, (at, _) in decided.items())
    assert len(decided) + machine.counters.ended[Reason.LEFT] == len(asked)
    assert machine.counters.held_now == 0 and machine.next_due is None
    assert sum(machine.counters.ended.values()) == machine.counters.asked == len(asked)
