"""The report as a value: what the table, the JSON and the page are all written from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from controller.migrate.installation import Installation
from controller.migrate.snippets import Advice
from controller.model.diagnostics import Diagnostic
from controller.model.refs import ObjectKey


class Fate(StrEnum):
    """What becomes of one annotation, key or flag. In the order of how much work it is."""

    CARRIED = "carried-over"
    DIFFERS = "differs"
    WITHOUT_EFFECT = "without-effect"
    IGNORED = "not-carried-out"
    INVALID = "invalid"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    CLOSES = "closes"


FATE_TEXT: dict[Fate, str] = {
    Fate.CARRIED: "carries over as it is",
    Fate.DIFFERS: "carries over, and behaves differently in some point",
    Fate.WITHOUT_EFFECT: "has no effect, and nothing is lost",
    Fate.IGNORED: "is not carried out; the rest is served",
    Fate.INVALID: "has a value that is not taken",
    Fate.UNKNOWN: "is no name that is known",
    Fate.REFUSED: "is refused; the rest is served",
    Fate.CLOSES: "closes its routes: they answer 503 rather than be served unprotected",
}
FINE = frozenset({Fate.CARRIED, Fate.DIFFERS, Fate.WITHOUT_EFFECT})
"""Those that need nobody's work."""

SAME_BEFORE = frozenset(
    """
    secret-not-found service-not-found port-not-found path-became-regex
    certificate-expired certificate-expires-soon certificate-host-mismatch
    """.split()
)
"""Findings about objects with which ingress-nginx did the same: they are shown, and are no work of the migration."""

_ORDER = {fate: number for number, fate in enumerate(Fate)}


@dataclass(frozen=True, slots=True)
class Item:
    """One annotation, key of a ConfigMap, or flag. `value` is shortened. `note`: what is different, or why it fails.

    `instead`: what to use, empty where nothing is needed or nothing exists. `advices`: those of a snippet.
    """

    name: str
    value: str
    fate: Fate
    note: str = ""
    instead: str = ""
    advices: tuple[Advice, ...] = ()


@dataclass(frozen=True, slots=True)
class IngressReport:
    """One Ingress that is served. `hosts` are as written, `*` for rules without one. `findings`: all of this object."""

    key: ObjectKey
    ingress_class: str
    hosts: tuple[str, ...]
    items: tuple[Item, ...]
    findings: tuple[Diagnostic, ...]
    notes: tuple[str, ...] = ()

    @property
    def own_findings(self) -> tuple[Diagnostic, ...]:
        """Those that no item tells already."""
        return tuple(f for f in self.findings if not f.field.text.startswith("metadata.annotations["))

    @property
    def fate(self) -> Fate:
        """The worst of its items; a finding of another kind is at least `INVALID`, if it is news at all."""
        found = [item.fate for item in self.items]
        news = (f for f in self.own_findings if f.severity != "info" and f.code not in SAME_BEFORE)
        found += [Fate.INVALID for _ in news]
        found += [Fate.DIFFERS for _ in self.notes]
        return max(found, key=_ORDER.__getitem__, default=Fate.CARRIED)


@dataclass(frozen=True, slots=True)
class ClassReport:
    """An IngressClass. `served` tells whether Headrace would serve it with these flags; `ingresses` counts its own."""

    name: str
    controller: str
    served: bool
    ingresses: int


@dataclass(frozen=True, slots=True)
class Left:
    """An Ingress that is not served, and why."""

    key: ObjectKey
    why: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The ConfigMap of the controller. `key` is None where none is named, `found` tells whether it is there."""

    key: ObjectKey | None
    found: bool
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployed:
    """An ingress-nginx that is there already, and its flags."""

    installation: Installation
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """Everything. `others`: findings of objects that are neither Ingress nor ConfigMap. `flags`: how to run it."""

    version: str
    source: str
    flags: tuple[str, ...]
    deployed: tuple[Deployed, ...]
    classes: tuple[ClassReport, ...]
    settings: Settings
    ingresses: tuple[IngressReport, ...]
    left: tuple[Left, ...]
    others: tuple[Diagnostic, ...]
    general: tuple[str, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """Of all objects."""
        listed = [self.settings.items, *(d.items for d in self.deployed), *(i.items for i in self.ingresses)]
        return tuple(item for items in listed for item in items)

    @property
    def problems(self) -> bool:
        """Whether something needs work: an item that is not fine, or a finding that is more than information."""
        findings = (*self.others, *(f for i in self.ingresses for f in i.findings))
        return any(i.fate not in FINE for i in self.items) or any(f.severity != "info" for f in findings)

    def count_ingresses(self) -> dict[Fate, int]:
        """By the fate of each as a whole, every fate present."""
        counted = Counter(ingress.fate for ingress in self.ingresses)
        return {fate: counted[fate] for fate in Fate}

    def count_items(self) -> dict[Fate, int]:
        """By fate, every fate present."""
        counted = Counter(item.fate for item in self.items)
        return {fate: counted[fate] for fate in Fate}
