"""The steps from a wanted configuration to one that is proved to run. No I/O: commands out, answers in.

    step = apply_steps(served, wanted, number, reason)
    command = next(step); command = step.send(answer); ...  # StopIteration.value is the (ApplyResult, Served)

    unchanged? ──yes──> done
        │
    Write, Test <────────────────────────────────┐
        │ refused: blame a fragment (bisect when │ nginx names none), put in its last good text or its stub
        ├────────────────────────────────────────┘   none to blame, or too many tests: Discard, refused
        │ accepted; and equal to what runs? ──yes──> Discard, done
    Switch, Reload, Probe ──fails──> Switch back, Reload, Probe ──fails──> Restart, Probe; Discard, refused
        │
    Keep, done

Where texts are only taken away there is no test: a reload that fails changes nothing, and the next attempt tests all.
Where nothing proved runs and there is much to read, the start is the test: nginx reads the same either way. If it does
not come up all goes as above, under the next number.

Guarantees: each command is issued once the one before it is answered. The loop ends: each refusal moves a fragment one
of at most two steps down, or is found by a bisect of log2(n) tests, and `max_tests` bounds them all. Whatever fails,
the generation in force is one that was proved, where there is one. A crash between any two steps leaves the
disk such that `GenerationStore.recover` finds the last proved generation.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from controller.dataplane.narrow import is_part_of
from controller.dataplane.quarantine import RefusedText, Trial
from controller.dataplane.result import ApplyResult, Outcome, Quarantine, Refusal
from controller.model.fragments import Fragment, FragmentSet, changed_paths

MAX_TESTS = 100
SERVERS = "servers/"
QUICK_AT_MOST = 1_000
"""Servers with which a test is short."""


@dataclass(frozen=True, slots=True)
class Write:
    """Make the trial directory of `number` hold these fragments."""

    number: int
    fragments: FragmentSet


@dataclass(frozen=True, slots=True)
class Test:
    """Run `nginx -t` on `number`. Answered by `Refused` where nginx finds an error.

    `servers`: test with these server files alone; all others are in force already, and no server depends on another.
    """

    number: int
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Switch:
    """Put `number` in force for the next reload or start."""

    number: int


@dataclass(frozen=True, slots=True)
class Reload:
    """Tell the master to read the generation in force, or start one where none runs."""


@dataclass(frozen=True, slots=True)
class Restart:
    """End the master and start a new one; requests in flight may finish."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Wait until `number` answers."""

    number: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Record `number` as the last good generation. `digest` is that of its fragments."""

    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Remove `number` from disk."""

    number: int


Command = Write | Test | Switch | Reload | Restart | Probe | Keep | Discard


@dataclass(frozen=True, slots=True)
class Done:
    """The command succeeded."""


@dataclass(frozen=True, slots=True)
class Refused:
    """nginx refused the configuration."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Failed:
    """The command could not be carried out: disk, process or deadline."""

    message: str


Answer = Done | Refused | Failed


@dataclass(frozen=True, slots=True)
class Served:
    """What runs, and what was learnt on the way there. `number` is 0 when nothing proved does.

    `wanted` is the digest of the FragmentSet that led here; `fragments` are the texts in force, which differ from it
    where something is quarantined. `answers` is False after a way back that could not be proved either; `surprised`
    is True after a configuration that passed its test and did not come up.
    """

    number: int = 0
    fragments: Mapping[str, Fragment] = field(default_factory=dict)
    wanted: str = ""
    refused: Mapping[str, RefusedText] = field(default_factory=dict)
    quarantined: tuple[Quarantine, ...] = ()
    answers: bool = True
    surprised: bool = False

    @property
    def proved(self) -> bool:
        return self.number > 0 and self.answers


Scope = tuple[str, ...] | None
"""Server files whose test is enough; with none of them nothing is to be tested, and None is all there is."""

T = TypeVar("T")
Steps = Generator[Command, Answer, T]


class _GiveUp(Exception):
    """No way ahead; the text is for the operator."""


def apply_steps(
    served: Served, wanted: FragmentSet, number: int, reason: str, max_tests: int = MAX_TESTS
) -> Steps[tuple[ApplyResult, Served]]:
    """Make `wanted` run as generation `number`. Returns what came of it and what runs now."""
    if served.proved and wanted.digest == served.wanted:
        return ApplyResult(served.number, Outcome.UNCHANGED, served.quarantined), served
    trial = Trial(wanted, served.fragments, served.refused)
    if not served.number and not served.refused and len(wanted.fragments) > QUICK_AT_MOST:
        started = yield from _start(wanted, number)
        if started:
            kept = yield Keep(number, wanted.digest)
            return _applied(number, trial, kept, reason), Served(number, wanted.fragments, wanted.digest)
        yield Discard(number)
        number += 1
    try:
        accepted = yield from _settle(trial, number, max_tests, _scope(served, wanted))
    except _GiveUp as why:
        yield Discard(number)
        return _refused(served, trial, str(why))
    after = Served(number, accepted.fragments, wanted.digest, trial.refused(), trial.quarantined())
    if served.proved and not changed_paths(served.fragments, accepted.fragments):
        yield Discard(number)
        outcome = Outcome.DEGRADED if after.quarantined else Outcome.UNCHANGED
        return ApplyResult(served.number, outcome, after.quarantined), replace(after, number=served.number)
    fault = yield from _activate(number, Reload())
    if fault:
        worse = yield from _retreat(served.number)
        yield Discard(number)
        before = replace(served, answers=not worse, surprised=True)
        return _refused(before, trial, "; ".join(filter(None, (fault, worse))))
    kept = yield Keep(number, accepted.digest)
    return _applied(number, trial, kept, reason), after


def _applied(number: int, trial: Trial, kept: Answer, reason: str) -> ApplyResult:
    quarantined = trial.quarantined()
    outcome = Outcome.DEGRADED if quarantined else Outcome.APPLIED
    note = f"not recorded as last good: {kept.message}" if isinstance(kept, Failed) else ""
    return ApplyResult(number, outcome, quarantined, message=note, reload_reason=reason)


def _refused(served: Served, trial: Trial, message: str) -> tuple[ApplyResult, Served]:
    """What was learnt is kept, so that the next attempt starts where this one ended."""
    refused = {**served.refused, **trial.refused()}
    result = ApplyResult(served.number, Outcome.REFUSED, served.quarantined, message=message)
    return result, replace(served, refused=refused)


def resume_steps(number: int, answering: int, adopted: bool) -> Steps[str]:
    """After a restart of the controller: make the last good generation run. Returns what went wrong, empty for nothing.

    `adopted`: a master of ours still runs, and `answering` is the generation it answers, 0 for none. One that
    runs the wrong generation is reloaded, and replaced where that does not help.
    """
    if adopted and answering == number:
        return ""
    if adopted:
        return (yield from _retreat(number))
    tested = yield Test(number)
    if isinstance(tested, Refused):
        return _text(tested.refusal)
    return (yield from _activate(number, Restart()))


# -- testing


def _scope(served: Served, wanted: FragmentSet) -> Scope:
    """The servers to test where that is enough: few of them changed, and everything in force is as it was meant.

    None, for a test of all, after a change of `nginx.conf`, beside a quarantined fragment (which may need what is gone
    now), and after a test that told us too little.
    """
    if not served.proved or served.refused or served.quarantined or served.surprised:
        return None
    changed = changed_paths(served.fragments, wanted.fragments)
    servers = tuple(p for p in changed if p.startswith(SERVERS) and p in wanted.fragments)
    if "nginx.conf" in changed or len(servers) > QUICK_AT_MOST:
        return None
    return servers or (() if all(_is_less(path, served, wanted) for path in changed) else None)


def _is_less(path: str, served: Served, wanted: FragmentSet) -> bool:
    """Whether nginx has read all of a file before, so that a reload, which changes nothing where it fails, will do."""
    before, after = served.fragments.get(path), wanted.fragments.get(path)
    return after is None or (before is not None and is_part_of(after.text, before.text))


def _settle(trial: Trial, number: int, tests_left: int, scope: Scope = None) -> Steps[FragmentSet]:
    """Test and replace until nginx accepts; the first test is with the servers in `scope` alone. Raises `_GiveUp`."""
    budget = _Budget(tests_left)
    while True:
        fragments = trial.fragments()
        refusal = yield from _test(fragments, number, budget, scope)
        scope = None
        if refusal is None:
            return fragments
        blamed = trial.blamed(refusal)
        if not blamed and not refusal.file:
            blamed, refusal = yield from _bisect(trial, number, budget, refusal)
        if not blamed:
            raise _GiveUp(_text(refusal))
        trial.demote(blamed, refusal.message)


def _bisect(trial: Trial, number: int, budget: _Budget, refusal: Refusal) -> Steps[tuple[tuple[str, ...], Refusal]]:
    """Find the first new fragment with which nginx refuses, when it names none; log2(n) + 1 tests.

    An error that was hidden behind the first and does name a fragment ends the search: it is dealt with before.
    """
    suspects = trial.suspects()
    if not suspects:
        return (), refusal
    good, bad = -1, len(suspects)
    while bad - good > 1:
        # The first round holds back all: if nginx still refuses, none of them is to blame.
        middle = (good + bad) // 2 if good >= 0 else 0
        found = yield from _test(trial.fragments(held_back=suspects[middle:]), number, budget)
        named = trial.blamed(found) if found else ()
        if found and named:
            return named, found
        if found and middle == 0:
            return (), found
        good, bad = (good, middle) if found else (middle, bad)
    return (suspects[bad - 1],), refusal


@dataclass(slots=True)
class _Budget:
    tests: int


def _test(fragments: FragmentSet, number: int, budget: _Budget, scope: Scope = None) -> Steps[Refusal | None]:
    if budget.tests == 0:
        raise _GiveUp("nginx refused the configuration too many times; the rest is tried with the next change")
    budget.tests -= 1
    test = () if scope == () else (Test(number, scope or ()),)
    for command in (Write(number, fragments), *test):
        answer = yield command
        if isinstance(answer, Failed):
            raise _GiveUp(answer.message)
        if isinstance(answer, Refused):
            return answer.refusal
    return None


def _text(refusal: Refusal) -> str:
    return f"{refusal.message} in {refusal.file}:{refusal.line}" if refusal.file else refusal.message


# -- running


def _start(fragments: FragmentSet, number: int) -> Steps[bool]:
    """Make nginx run what was not tested, where nothing that was proved could suffer. Whether it does."""
    written = yield Write(number, fragments)
    return isinstance(written, Done) and not (yield from _activate(number, Reload()))


def _activate(number: int, how: Reload | Restart) -> Steps[str]:
    """Switch, make nginx read it, prove it. Returns what went wrong, empty for nothing."""
    for command in (Switch(number), how, Probe(number)):
        answer = yield command
        if isinstance(answer, Failed):
            return answer.message
    return ""


def _retreat(number: int) -> Steps[str]:
    """Go back to generation `number`, by a new master if need be. Returns what went wrong, empty for nothing.

    Where nothing was ever proved nginx is left as it is: it may be slow rather than dead.
    """
    if not number:
        return "there is no generation to go back to"
    fault = yield from _activate(number, Reload())
    if fault:
        fault = yield from _activate(number, Restart())
    return f"generation {number} does not answer either: {fault}" if fault else ""
