"""What each step of a translation read and what it leaves, and the sum of it all.

A step is the reading of one Ingress, the making of one host, or one of the few things that are done once. What it
leaves (findings, upstreams, certificates, files) is the same whichever steps came before it, so the sum can be kept up
to date: a step that is done again takes its old share out and puts the new one in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Generic, TypeVar

from controller.model.configuration import Certificate, Upstream
from controller.model.deltas import FEW, patched
from controller.model.diagnostics import Diagnostic, Report
from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
N = TypeVar("N", Upstream, Certificate)
Step = Hashable

FOR_EVER = 1 << 62
_PLACE = itemgetter(0)
NO_FILES: Mapping[str, SecretBytes | bytes] = {}


@dataclass(frozen=True, slots=True)
class Trace:
    """Of one step. `reads`: each object once. `since`, `until`: seconds since the epoch between which time alone
    changes nothing of it, the end not included. `kept`: ids of certificates that were looked for among those served so
    far, with what was found. `secrets`, `configmaps`: what is to be watched, whether it exists or not."""

    reads: tuple[ObjectKey, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    secrets: tuple[ObjectKey, ...] = ()
    configmaps: tuple[ObjectKey, ...] = ()
    files: Mapping[str, SecretBytes | bytes] = field(default_factory=lambda: NO_FILES)
    since: int = -FOR_EVER
    until: int = FOR_EVER
    kept: tuple[tuple[str, Certificate | None], ...] = ()

    def holds(self, now: int, kept: Mapping[str, Certificate]) -> bool:
        """Whether neither time nor the certificates served so far make it something else."""
        return self.since <= now < self.until and all(kept.get(name) == found for name, found in self.kept)

    @property
    def lasts(self) -> bool:
        """Whether it holds at any time."""
        return self.since == -FOR_EVER and self.until == FOR_EVER and not self.kept


NOTHING = Trace()


class Tally(Generic[K, V]):
    """Values by key, each as long as somebody contributes it. All contributions to one key are equal.

    `changes`: what has become different since they were taken, None for what is gone.
    """

    def __init__(self) -> None:
        self.values: dict[K, V] = {}
        self.changes: dict[K, V | None] = {}
        self._times: dict[K, int] = {}

    def swap(self, old: Iterable[tuple[K, V]], new: Iterable[tuple[K, V]]) -> None:
        """Put `new` in, take `old` out: in this order, so that what stays is not taken for a change."""
        for key, value in new:
            times = self._times.get(key, 0)
            self._times[key] = times + 1
            if not times or self.values[key] != value:
                self.values[key] = self.changes[key] = value
        for key, _ in old:
            times = self._times[key] - 1
            if times:
                self._times[key] = times
            else:
                del self._times[key], self.values[key]
                self.changes[key] = None

    def taken(self) -> dict[K, V | None]:
        """The changes, which are none from now on."""
        changes, self.changes = self.changes, {}
        return changes


@dataclass(slots=True)
class Totals:
    """The sum of the traces of all steps. What comes out is the same object until it changes."""

    traces: dict[Step, Trace] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    upstreams: dict[str, Upstream] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    files: dict[str, SecretBytes | bytes] = field(default_factory=dict)
    secrets: frozenset[ObjectKey] = frozenset()
    configmaps: frozenset[ObjectKey] = frozenset()
    _readers: dict[ObjectKey, set[Step]] = field(default_factory=dict)
    _passing: set[Step] = field(default_factory=set)
    """Steps whose traces do not hold for ever."""
    _looking_back: set[Step] = field(default_factory=set)
    _since: int = -FOR_EVER
    _until: int = FOR_EVER
    """Between these no trace ends by time."""
    _told: Told = field(default_factory=list)
    _findings: Tally[Diagnostic, tuple[str, ...]] = field(default_factory=Tally)
    _upstreams: Tally[str, Upstream] = field(default_factory=Tally)
    _certificates: Tally[str, Certificate] = field(default_factory=Tally)
    _files: Tally[str, SecretBytes | bytes] = field(default_factory=Tally)
    _secrets: Tally[ObjectKey, None] = field(default_factory=Tally)
    _configmaps: Tally[ObjectKey, None] = field(default_factory=Tally)

    def put(self, step: Step, trace: Trace) -> None:
        """The step has been done (again); `NOTHING` where it is not needed any more."""
        old = self.traces.pop(step, NOTHING)
        if trace is not NOTHING:
            self.traces[step] = trace
        self._file(step, old.reads, trace.reads)
        (self._passing.discard if trace.lasts else self._passing.add)(step)
        (self._looking_back.add if trace.kept else self._looking_back.discard)(step)
        self._since, self._until = max(self._since, trace.since), min(self._until, trace.until)
        self._findings.swap(_with_place(old.findings), _with_place(trace.findings))
        self._upstreams.swap(_by_id(old.upstreams), _by_id(trace.upstreams))
        self._certificates.swap(_by_id(old.certificates), _by_id(trace.certificates))
        self._files.swap(old.files.items(), trace.files.items())
        self._secrets.swap(_alone(old.secrets), _alone(trace.secrets))
        self._configmaps.swap(_alone(old.configmaps), _alone(trace.configmaps))

    def _file(self, step: Step, old: Iterable[ObjectKey], new: Iterable[ObjectKey]) -> None:
        before, after = set(old), set(new)
        for key in before - after:
            self._readers[key].discard(step)
            if not self._readers[key]:
                del self._readers[key]
        for key in after - before:
            self._readers.setdefault(key, set()).add(step)

    def readers_of(self, changed: Iterable[ObjectKey]) -> set[Step]:
        """The steps that have read one of these objects."""
        return {step for key in changed for step in self._readers.get(key, ())}

    def expired(self, now: int, kept: Mapping[str, Certificate]) -> set[Step]:
        """The steps that time, or the certificates served so far, make something else."""
        asked = self._looking_back if self._since <= now < self._until else self._passing
        if asked is self._passing:
            self._since = max((trace.since for trace in map(self.traces.__getitem__, asked)), default=-FOR_EVER)
            self._until = min((trace.until for trace in map(self.traces.__getitem__, asked)), default=FOR_EVER)
        return {step for step in asked if not self.traces[step].holds(now, kept)}

    @property
    def certificates_so_far(self) -> Mapping[str, Certificate]:
        """In any order, also before `settle`."""
        return self._certificates.values

    @property
    def upstreams_so_far(self) -> Mapping[str, Upstream]:
        """In any order, also before `settle`."""
        return self._upstreams.values

    def settle(self) -> None:
        """Bring what comes out up to date."""
        if changes := self._findings.taken():
            self._told = _retold(self._told, changes)
            self.report = Report(_once_for_each_secret(finding for _, finding in self._told))
        if of_upstreams := self._upstreams.taken():
            self.upstreams = patched(self.upstreams, of_upstreams)
        if of_certificates := self._certificates.taken():
            self.certificates = patched(self.certificates, of_certificates)
        if of_files := self._files.taken():
            self.files = patched(self.files, of_files)
        if self._secrets.taken():
            self.secrets = frozenset(self._secrets.values)
        if self._configmaps.taken():
            self.configmaps = frozenset(self._configmaps.values)


Told = list[tuple[tuple[str, ...], Diagnostic]]
"""Findings, each with its place in the order of the report."""


def _retold(told: Told, changes: Mapping[Diagnostic, tuple[str, ...] | None]) -> Told:
    if len(changes) > FEW:
        kept = (each for each in told if each[1] not in changes)
        return sorted([*kept, *((place, each) for each, place in changes.items() if place is not None)], key=_PLACE)
    told = list(told)
    for finding, place in changes.items():
        at = bisect_left(told, _place_of(finding), key=_PLACE)
        if at < len(told) and told[at][1] == finding:
            del told[at]
        if place is not None:
            told.insert(at, (place, finding))
    return told


def _place_of(finding: Diagnostic) -> tuple[str, ...]:
    """No two findings have the same, so there is one order of them."""
    return (*finding.sort_key, finding.effect, finding.hint, finding.severity, *map(str, finding.related))


def _by_id(items: Iterable[N]) -> Iterable[tuple[str, N]]:
    return ((item.id, item) for item in items)


def _alone(items: Iterable[K]) -> Iterable[tuple[K, None]]:
    return ((item, None) for item in items)


def _with_place(findings: Iterable[Diagnostic]) -> Iterable[tuple[Diagnostic, tuple[str, ...]]]:
    return ((finding, _place_of(finding)) for finding in findings)


def _once_for_each_secret(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each host tells of a Secret that it cannot use; the first Ingress by name stands for all that use it."""
    told: set[Diagnostic] = set()
    kept = []
    for finding in findings:
        if finding.object.kind is Kind.SECRET:
            plain = replace(finding, related=())
            if plain in told:
                continue
            told.add(plain)
        kept.append(finding)
    return tuple(kept)
