"""Collects the Diagnostics of one build. Passed down by every stage; nothing else in the build is mutable."""

from __future__ import annotations

from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.refs import FieldPath, ObjectKey


class Findings:
    """An append-only list with the two usual severities as methods."""

    def __init__(self) -> None:
        self.items: list[Diagnostic] = []

    def error(
        self,
        code: str,
        owner: ObjectKey,
        field: FieldPath,
        message: str,
        effect: Effect,
        hint: str = "",
        related: tuple[ObjectKey, ...] = (),
    ) -> None:
        """Some of what the owner asks for is not served."""
        self.items.append(Diagnostic(code, Severity.ERROR, owner, field, message, effect, hint, related))

    def warning(
        self,
        code: str,
        owner: ObjectKey,
        field: FieldPath,
        message: str,
        effect: Effect,
        hint: str = "",
        related: tuple[ObjectKey, ...] = (),
    ) -> None:
        """Served, though not quite as written."""
        self.items.append(Diagnostic(code, Severity.WARNING, owner, field, message, effect, hint, related))
