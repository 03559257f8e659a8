"""What takes the place of one directive: annotations, keys of the ConfigMap, objects, nothing needed, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from controller.translate.annotations.registry import HONOURED, VERDICTS, Verdict
from controller.translate.configmap import CLOSING, PARSERS, UNSUPPORTED


class Where(StrEnum):
    """Where a replacement is written."""

    ANNOTATION = "annotation"
    SETTING = "configmap"
    OBJECT = "object"


class Outcome(StrEnum):
    """`REPLACED`: something first-class does the same. `NEEDLESS`: it is done anyway. `NONE`: nothing does it."""

    REPLACED = "replaced"
    NEEDLESS = "needless"
    NONE = "none"


class Replacement(NamedTuple):
    """`name` is an annotation without prefix, a key of the controller's ConfigMap, or `Kind namespace/name`."""

    where: Where
    name: str
    value: str

    @property
    def carried_out(self) -> bool:
        """Whether this version does what the name says."""
        if self.where is Where.ANNOTATION:
            return VERDICTS.get(self.name) is Verdict.HONOURED
        return self.where is Where.OBJECT or self.name not in UNSUPPORTED | CLOSING

    @property
    def fault(self) -> str:
        """Why the controller would not take the value; empty where it would, or where that is not known."""
        grammars = _GRAMMARS if self.where is Where.ANNOTATION else PARSERS
        grammar = grammars.get(self.name) if self.where is not Where.OBJECT else None
        try:
            if grammar is not None:
                grammar(self.value)
        except ValueError as reason:
            return str(reason)
        return ""


_GRAMMARS = {annotation.name: annotation.grammar for annotation in HONOURED if not annotation.ours}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be done instead of one directive. `note`: sentences for a person; what is lost is among them."""

    outcome: Outcome
    replacements: tuple[Replacement, ...] = ()
    note: str = ""

    def with_note(self, note: str) -> Answer:
        return replace(self, note=f"{self.note} {note}".strip())


@dataclass(frozen=True, slots=True)
class Place:
    """Where the directive stood. `ingress` is empty for a key of the ConfigMap, which is for all routes."""

    snippet: str
    namespace: str = "default"
    ingress: str = ""

    @property
    def for_all(self) -> bool:
        return not self.ingress

    @property
    def headers_name(self) -> str:
        """`namespace/name` of the ConfigMap that takes the headers."""
        return f"{self.namespace}/{self.ingress or 'custom'}-headers"


def checked(answer: Answer) -> Answer:
    """The same, or nothing where a name would not take the value that the directive had."""
    for made in answer.replacements:
        if made.fault:
            return nothing(f"{made.name} does not take {made.value}: {made.fault}.")
    return answer


def annotation(name: str, value: str) -> Replacement:
    return Replacement(Where.ANNOTATION, name, value)


def setting(name: str, value: str) -> Replacement:
    return Replacement(Where.SETTING, name, value)


def thing(name: str, value: str) -> Replacement:
    """Another object; `value` is what stands in it."""
    return Replacement(Where.OBJECT, name, value)


def replaced(*replacements: Replacement, note: str = "") -> Answer:
    return Answer(Outcome.REPLACED, replacements, note)


def needless(note: str) -> Answer:
    return Answer(Outcome.NEEDLESS, note=note)


def nothing(note: str) -> Answer:
    return Answer(Outcome.NONE, note=note)


FOR_ALL = "It is a setting of the controller, so it is for all routes."
ON_EACH = "Set it on each Ingress that needs it."
