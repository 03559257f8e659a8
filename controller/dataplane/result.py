"""What came of an attempt to make nginx run a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controller.model.refs import ObjectKey


class Outcome(StrEnum):
    """`UNCHANGED`: nothing to do. `APPLIED`: all of it runs. `DEGRADED`: it runs, but some fragments are replaced.
    `REFUSED`: the generation before it stays in force."""

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    DEGRADED = "degraded"
    REFUSED = "refused"


class Stand(StrEnum):
    """What is served in place of a fragment that nginx refused."""

    LAST_GOOD = "last-good"
    STUB = "stub"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first error of `nginx -t`.

    `message` is nginx's own, without the place. `file` is relative to the generation directory where it lies inside,
    absolute elsewhere, and empty where nginx names none. `named_path` is a path in the message itself, such as
    the certificate that could not be loaded.
    """

    message: str
    file: str = ""
    line: int = 0
    named_path: str = ""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """One fragment that nginx refused, and what is served instead. `message` is nginx's."""

    path: str
    origins: tuple[ObjectKey, ...]
    message: str
    served: Stand


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """`generation` is the one in force afterwards, 0 for none. `message` says why, where the outcome is `REFUSED`.

    `reload_reason` is empty where nginx was not touched. `timings`: seconds per stage (write, test, wait, switch,
    reload, probe, keep).
    """

    generation: int
    outcome: Outcome
    quarantined: tuple[Quarantine, ...] = ()
    message: str = ""
    reload_reason: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
