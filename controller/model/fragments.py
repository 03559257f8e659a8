"""Files of one nginx configuration, as values.

A Fragment is one file below the generation directory. It knows which objects its text came from, so that a refusal by
nginx can be laid at the right door, and which text can stand in for it when nginx refuses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from controller.model.deltas import delta, patched
from controller.model.refs import ObjectKey


def digest_of(text: str) -> str:
    """16 hexadecimal digits of SHA-256: enough to tell two texts apart, short enough for a log line."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Address(NamedTuple):
    """Where a fragment has nginx listen: `ip:port`, `[ip]:port` or `*:port`; `transport` is TCP or UDP."""

    place: str
    transport: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """One file. `path` is relative to the generation directory; `stub` replaces `text` when nginx refuses it.

    A fragment without a stub is our own text alone; when nginx refuses that, the whole generation is refused.
    `listens`: addresses of its own, which somebody else may have taken already. `mark`: a digest of path and text, as a
    number that can be added up.
    """

    path: str
    text: str
    origins: tuple[ObjectKey, ...] = ()
    stub: str | None = None
    digest: str = field(default="")
    listens: tuple[Address, ...] = field(default=(), compare=False)
    mark: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.text))
        name = hashlib.sha256(f"{self.path} {self.digest}".encode()).digest()
        object.__setattr__(self, "mark", int.from_bytes(name))


@dataclass(frozen=True, slots=True)
class FragmentSet:
    """A whole configuration: `nginx.conf` and everything that it includes. `total`: the sum of all marks."""

    fragments: dict[str, Fragment]
    total: int

    @classmethod
    def of(cls, fragments: Iterable[Fragment]) -> FragmentSet:
        by_path = {f.path: f for f in sorted(fragments, key=attrgetter("path"))}
        return cls(by_path, sum(map(attrgetter("mark"), by_path.values())))

    def patched(self, changes: Mapping[str, Fragment | None]) -> FragmentSet:
        """With other fragments at these paths, none where that is None."""
        gone = sum(self.fragments[path].mark for path in changes if path in self.fragments)
        fresh = sum(fragment.mark for fragment in changes.values() if fragment)
        return FragmentSet(patched(self.fragments, changes), self.total - gone + fresh)

    @property
    def digest(self) -> str:
        """Of all paths and texts: of their sum, so that it is not made anew of thousands for a change of one."""
        return digest_of(f"{self.total:x}")

    def changed_since(self, previous: FragmentSet | None) -> tuple[str, ...]:
        """Paths that were added, removed or altered."""
        return changed_paths(previous.fragments if previous else {}, self.fragments)


def changed_paths(before: Mapping[str, Fragment], after: Mapping[str, Fragment]) -> tuple[str, ...]:
    """Paths whose text is not the same in both, in their order."""
    other = delta(before, after)
    return tuple(sorted(path for path, fragment in other.items() if _digest(before.get(path)) != _digest(fragment)))


def _digest(fragment: Fragment | None) -> str:
    return fragment.digest if fragment else ""
