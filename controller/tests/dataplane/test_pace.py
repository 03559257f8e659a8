"""How soon reloads may follow one another, and that replicas have turns of their own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.dataplane.pace import Pace, Replica, price
from controller.dataplane.replicas import replica_among


def spend(pace: Pace, now: float) -> float:
    """When a reload that is wanted at `now` begins."""
    begins = now + pace.wait(now)
    assert pace.wait(begins) <= 1e-9
    pace.spend(begins)
    return begins


def test_the_first_come_at_once_and_those_after_them_are_spaced() -> None:
    pace = Pace(interval=2.0, burst=3)
    assert [spend(pace, 100.0) for _ in range(5)] == [100.0, 100.0, 100.0, 102.0, 104.0]


def test_a_pause_gives_them_back() -> None:
    pace = Pace(interval=2.0, burst=3)
    for _ in range(3):
        spend(pace, 100.0)
    assert [spend(pace, 104.0) for _ in range(3)] == [104.0, 104.0, 106.0]
    assert [spend(pace, 1_000.0) for _ in range(4)] == [1_000.0, 1_000.0, 1_000.0, 1_002.0]


def test_a_dear_reload_counts_as_several() -> None:
    pace = Pace(interval=1.0, burst=4)
    pace.spend(10.0, price=4.0)
    assert [spend(pace, 10.0) for _ in range(2)] == [11.0, 12.0]


def test_it_is_dearer_the_more_connections_there_are() -> None:
    assert [price(connections) for connections in (0, 4, 11, 1_000)] == [1.0, 1.0, 3.0, 6.0]


def test_without_an_interval_nothing_waits_and_a_burst_of_one_keeps_them_apart() -> None:
    at_once, apart = Pace(0.0, 1), Pace(1.0, 1)
    assert [spend(at_once, 5.0) for _ in range(3)] == [5.0] * 3
    assert [spend(apart, 5.0) for _ in range(3)] == [5.0, 6.0, 7.0]


@given(st.lists(st.floats(0, 20), max_size=60), st.integers(1, 10), st.floats(0.1, 3))
def test_never_more_than_the_burst_and_one_for_each_interval(pauses: list[float], burst: int, interval: float) -> None:
    pace, now, begun = Pace(interval, burst), 0.0, []
    for pause in pauses:
        now = spend(pace, now + pause)
        begun.append(now)
    for place, first in enumerate(begun):
        for count, last in enumerate(begun[place:], start=1):
            assert count <= burst + (last - first) / interval + 1e-6


@given(st.integers(1, 20), st.floats(0.5, 60), st.floats(0, 1e6))
def test_at_every_moment_it_is_the_turn_of_one_replica(count: int, length: float, clock: float) -> None:
    waits = [Replica(number, count).seconds_until_turn(clock, length) for number in range(count)]
    assert waits.count(0.0) == 1
    assert all(0.0 <= wait <= length * count for wait in waits)
    for number, wait in enumerate(waits):
        assert Replica(number, count).seconds_until_turn(clock + wait + length / 2 * (wait > 0), length) == 0.0


def test_no_turns_where_none_are_asked_for_or_nobody_else_is_there() -> None:
    assert Replica(1, 3).seconds_until_turn(0.0, 0.0) == 0.0
    assert Replica(0, 1).seconds_until_turn(15.0, 10.0) == 0.0


def test_a_replica_finds_its_own_address() -> None:
    others = ["203.0.113.1", "203.0.113.200", "2001:db8::1"]
    assert replica_among([*others, "127.0.0.1"], "any") == Replica(0, 4)
    assert replica_among(["100.127.255.1", *others, "127.0.0.1"], "any") == Replica(1, 5)


def test_a_replica_that_is_not_listed_has_a_turn_all_the_same() -> None:
    found = {replica_among(["203.0.113.1", "203.0.113.2"], f"pod-{number}") for number in range(20)}
    assert found == {Replica(0, 2), Replica(1, 2)}
    assert replica_among([], "pod") == Replica(0, 1)
