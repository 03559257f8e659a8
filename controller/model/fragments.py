"""Files of one nginx configuration, as values.

A Fragment is one file below the generation directory. It knows which objects its text came from, so that a refusal by
nginx can be laid at the right door, and which text can stand in for it when nginx refuses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

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
    `listens`: addresses of its own, which somebody else may have taken already.
    """

    path: str
    text: str
    origins: tuple[ObjectKey, ...] = ()
    stub: str | None = None
    digest: str = field(default="")
    listens: tuple[Address, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.text))


@dataclass(frozen=True, slots=True)
class FragmentSet:
    """A whole configuration: `nginx.conf` and everything that it includes."""

    fragments: dict[str, Fragment]
    digest: str

    @classmethod
    def of(cls, fragments: Iterable[Fragment]) -> FragmentSet:
        by_path = {f.path: f for f in sorted(fragments, key=lambda f: f.path)}
        return cls(by_path, digest_of("\n".join(f"{f.path} {f.digest}" for f in by_path.values())))

    def changed_since(self, previous: FragmentSet | None) -> tuple[str, ...]:
        """Paths that were added, removed or altered."""
        before = previous.fragments if previous else {}
        paths = before.keys() | self.fragments.keys()
        return tuple(sorted(p for p in paths if _digest(before, p) != _digest(self.fragments, p)))


def _digest(fragments: dict[str, Fragment], path: str) -> str | None:
    fragment = fragments.get(path)
    return fragment.digest if fragment else None
