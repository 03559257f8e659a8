"""Which location of a server takes a path, and why the others do not.

nginx: an exact location, else the first regular expression in order, else the longest prefix. Hosts have prefixes or
expressions, never both, so this is also what the Kubernetes rules ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.explain.pcre import Undecidable, compile_pcre
from controller.model.configuration import Location, MatchKind, PathMatch, Server

_ORDER = {MatchKind.EXACT: 0, MatchKind.REGEX: 1, MatchKind.PREFIX: 2}


class Loser(NamedTuple):
    """A location that one might have expected, and why it is not the one."""

    location: Location
    why: str


@dataclass(frozen=True, slots=True)
class LocationChoice:
    """`undecided` are locations before the chosen one of which cannot be told whether they match."""

    location: Location
    why: str
    losers: tuple[Loser, ...] = ()
    undecided: tuple[Loser, ...] = ()


def location_of(server: Server, path: bytes) -> LocationChoice:
    """The choice for a normalised, decoded path."""
    matching: list[Location] = []
    missing: list[Location] = []
    undecided: list[Loser] = []
    for location in _ranked(server):
        try:
            (matching if matches(location.match, path) else missing).append(location)
        except Undecidable as reason:
            if not matching:
                undecided.append(Loser(location, f"cannot be decided here: {reason}"))
    near = [Loser(location, why) for location in missing if (why := _near_miss(location.match, path))]
    if not matching:
        return LocationChoice(server.fallback, "nothing else matches", tuple(near), tuple(undecided))
    winner, *rest = matching
    losers = [Loser(location, _why_not(winner.match, location.match)) for location in rest]
    return LocationChoice(winner, _why(winner.match, server), (*losers, *near), tuple(undecided))


def matches(match: PathMatch, path: bytes) -> bool:
    """Raises `Undecidable` for an expression that Python's `re` cannot stand for."""
    if match.kind is MatchKind.REGEX:
        return compile_pcre(f"^{match.path}").search(path) is not None
    text = match.path.encode("utf-8", "surrogateescape")
    if match.kind is MatchKind.EXACT:
        return path == text
    element = text.rstrip(b"/")
    return path == element or path.startswith(element + b"/")


def _ranked(server: Server) -> list[Location]:
    """In the order in which nginx prefers them; expressions keep theirs."""

    def rank(location: Location) -> tuple[int, int]:
        kind, path = location.match
        return _ORDER[kind], -len(path.encode("utf-8", "surrogateescape")) if kind is MatchKind.PREFIX else 0

    return sorted(server.locations, key=rank)


def _why(match: PathMatch, server: Server) -> str:
    match match.kind:
        case MatchKind.EXACT:
            return "exact path"
        case MatchKind.REGEX:
            return "first expression that matches, in the order of descending length"
    return "longest prefix" if len(server.locations) > 1 else "prefix"


def _why_not(winner: PathMatch, loser: PathMatch) -> str:
    if winner.kind is MatchKind.EXACT:
        return "matches, but an exact path wins"
    if winner.kind is MatchKind.REGEX:
        return (
            "matches, but an expression before it does too"
            if loser.kind is MatchKind.REGEX
            else "matches, but an expression wins"
        )
    return "matches, but a longer prefix wins"


def _near_miss(match: PathMatch, path: bytes) -> str:
    """Why a location that looks alike does not match; empty where nobody would expect it to."""
    if match.kind is MatchKind.REGEX:
        return ""
    text = match.path.encode("utf-8", "surrogateescape")
    folded = PathMatch(match.kind, match.path.lower())
    if matches(folded, path.lower()):
        return "does not match: the case differs"
    if match.kind is MatchKind.EXACT:
        return "does not match: exact paths match themselves alone" if path.startswith(text) else ""
    return "does not match: prefixes end at a slash" if path.startswith(text) else ""
