"""A difference of two dictionaries turns the one into the other, and names nothing that is the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.model.deltas import FEW, delta, patched


class Value:
    """Told apart by identity alone."""


VALUES = [Value() for _ in range(3)]
KEYS = st.sampled_from("abcdefgh")
pictures = st.dictionaries(KEYS, st.sampled_from(VALUES))


@given(pictures, pictures)
def test_a_delta_turns_one_into_the_other(before: dict[str, Value], after: dict[str, Value]) -> None:
    changes = delta(before, after)
    assert {key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)} == changes.keys()
    assert patched(before, changes) == after


numbers = st.lists(st.tuples(st.integers(0, 299), st.sampled_from((*VALUES, None))), max_size=40)


@given(numbers)
def test_few_and_many_changes_of_many(changes: list[tuple[int, Value | None]]) -> None:
    before = {f"{number:03}": VALUES[0] for number in range(0, 300, 2)}
    after = dict(before)
    for number, value in changes:
        after.pop(f"{number:03}", None)
        if value is not None:
            after[f"{number:03}"] = value
    found = delta(before, after)
    assert found.keys() == {key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)}
    assert patched(before, found) == after
    assert delta(before, patched(before, found)) == found


@given(pictures, st.dictionaries(KEYS, st.one_of(st.none(), st.sampled_from(VALUES))))
def test_what_was_sorted_stays_sorted(before: dict[str, Value], changes: dict[str, Value | None]) -> None:
    found = patched(dict(sorted(before.items())), changes)
    assert list(found) == sorted(found)
    assert found == {key: value for key, value in (before | changes).items() if value is not None}


def test_many_new_keys_are_sorted_in_too() -> None:
    fresh = {f"{number:04}": VALUES[0] for number in range(2 * FEW, 0, -1)}
    assert list(patched({"0100": VALUES[1], "9": VALUES[1]}, fresh)) == sorted({*fresh, "9"})
