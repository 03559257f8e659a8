"""A Diagnostic says what is wrong with which object, and what happens to traffic because of it.

A user's mistake is always one of these values and never an exception. One cannot be built without an owner and a
registered code (`codes.py`), so nothing can be wrong without somebody being told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from controller.model.codes import CODES
from controller.model.refs import FieldPath, ObjectKey


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Effect(StrEnum):
    """What traffic does now."""

    NONE = "none"
    SETTING_IGNORED = "setting-ignored"
    PATH_UNSERVED = "path-unserved"
    HOST_UNSERVED = "host-unserved"
    OBJECT_IGNORED = "object-ignored"
    PREVIOUS_VERSION_SERVED = "previous-version-served"
    DEFAULT_CERTIFICATE_SERVED = "default-certificate-served"


EFFECT_TEXT: dict[Effect, str] = {
    Effect.NONE: "Traffic is not affected.",
    Effect.SETTING_IGNORED: "This setting is ignored; the rest is served.",
    Effect.PATH_UNSERVED: "This path is not served as written; the rest is served.",
    Effect.HOST_UNSERVED: "This host answers 503.",
    Effect.OBJECT_IGNORED: "Nothing of this object is used.",
    Effect.PREVIOUS_VERSION_SERVED: "The last good version stays in force.",
    Effect.DEFAULT_CERTIFICATE_SERVED: "The default certificate is served.",
}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    `code`: registered in `codes.py`, stable for ever. `message`: one sentence, names the value at fault. `hint`: what
    to do. `related`: other objects involved, such as the Ingress that owns the path already; or, where the finding is
    in a Secret, the Ingresses that use it.

    Raises `ValueError` when the code is not registered.
    """

    code: str
    severity: Severity
    object: ObjectKey
    field: FieldPath
    message: str
    effect: Effect
    hint: str = ""
    related: tuple[ObjectKey, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"unregistered diagnostic code: {self.code}")

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        return (str(self.object), self.field.text, self.code, self.message)

    def __str__(self) -> str:
        where = f" {self.field}" if self.field.text else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.severity}[{self.code}] {self.object}{where}: {self.message} {EFFECT_TEXT[self.effect]}{hint}"


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one build, sorted and without repeats."""

    diagnostics: tuple[Diagnostic, ...] = ()

    @classmethod
    def of(cls, diagnostics: list[Diagnostic]) -> Report:
        return cls(tuple(sorted(set(diagnostics), key=lambda d: d.sort_key)))

    def by_code(self) -> Counter[str]:
        return Counter(d.code for d in self.diagnostics)

    @property
    def worst(self) -> Severity | None:
        found = {d.severity for d in self.diagnostics}
        return next((s for s in (Severity.ERROR, Severity.WARNING, Severity.INFO) if s in found), None)
