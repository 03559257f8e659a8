"""Large dictionaries of which little changes: what is different between two of them, and one more with that difference.

Between two builds a handful of ten thousand entries change, and what did not change is the same object. So nothing here
looks into the values, and what is common to both is passed over at the speed of a copy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import is_
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

FEW_PLACES = 16
FEW = 100
"""So many new keys are put in their places one by one; more are sorted in."""


def delta(before: Mapping[K, V], after: Mapping[K, V]) -> dict[K, V | None]:
    """What makes `after` of `before`: other objects by key, and None where a key is gone. No value is None itself.

    Both are gone through side by side, as long as they differ in few places; what is left then is looked up.
    """
    found: dict[K, V | None] = {}
    if before is after:
        return found
    old_keys, new_keys = list(before), list(after)
    old, new = list(before.values()), list(after.values())
    for _ in range(FEW_PLACES):
        same = min(_common(old_keys, new_keys), _common(old, new))
        old_keys, new_keys, old, new = old_keys[same:], new_keys[same:], old[same:], new[same:]
        gone, came = _step(old_keys, new_keys)
        if not gone and not came:
            break
        found |= {key: None for key in old_keys[:gone] if key not in after}
        found |= _others(before, new_keys[:came], new[:came])
        old_keys, new_keys, old, new = old_keys[gone:], new_keys[came:], old[gone:], new[came:]
    found |= {key: None for key in old_keys if key not in after}
    return found | _others(before, new_keys, new)


def _step(old: Sequence[object], new: Sequence[object]) -> tuple[int, int]:
    """How many keys to pass over on either side where they differ; none at the end, and where that is not plain."""
    if old and new and old[0] is new[0]:
        return 1, 1
    if new and (not old or (len(new) > 1 and new[1] is old[0])):
        return 0, 1
    if old and (not new or (len(old) > 1 and old[1] is new[0])):
        return 1, 0
    return 0, 0


def _others(before: Mapping[K, V], keys: Sequence[K], values: Sequence[V]) -> dict[K, V | None]:
    return {key: value for key, value in zip(keys, values, strict=True) if before.get(key) is not value}


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many of their first elements are the same objects."""
    same = list(map(is_, one, other))
    return same.index(False) if False in same else len(same)


def patched(before: Mapping[str, V], changes: Mapping[str, V | None]) -> dict[str, V]:
    """A copy with those changes, None for what is to go. In the order of the keys, where `before` is."""
    found = dict(before)
    fresh: dict[str, V] = {}
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        elif key in found:
            found[key] = value
        else:
            fresh[key] = value
    if len(fresh) > FEW:
        return dict(sorted((found | fresh).items()))
    if not fresh:
        return found
    keys, values = list(found), list(found.values())
    for key, value in fresh.items():
        place = bisect_left(keys, key)
        keys.insert(place, key)
        values.insert(place, value)
    return dict(zip(keys, values, strict=True))
