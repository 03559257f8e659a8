"""Findings of a build as people see them: log lines when one appears or goes away, and those that nginx itself made."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from controller.dataplane.result import Quarantine, Stand
from controller.model.diagnostics import Diagnostic, Effect, Report, Severity
from controller.model.refs import FieldPath

logger = logging.getLogger(__name__)

_LEVELS = {Severity.ERROR: logging.WARNING, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}
"""A user's mistake is never an error of the controller: nobody has to act on it but its owner."""


class FindingsLog:
    """Logs changes of findings, not findings: a build that finds the same again is silent."""

    def __init__(self) -> None:
        self._told: tuple[Diagnostic, ...] = ()

    def tell(self, report: Report) -> tuple[Diagnostic, ...]:
        """Returns the findings that are new. What is the same object as before is not looked at."""
        now, before = report.diagnostics, self._told
        self._told = now
        if now is before:
            return ()
        kept, known = set(map(id, now)), set(map(id, before))
        left = {finding for finding in before if id(finding) not in kept}
        came = [finding for finding in now if id(finding) not in known]
        fresh = tuple(finding for finding in came if finding not in left)
        for finding in fresh:
            logger.log(_LEVELS[finding.severity], "finding", extra=_fields(finding))
        for finding in sorted(left - set(came), key=lambda d: d.sort_key):
            logger.info("finding resolved", extra={"code": finding.code, "object": finding.object})
        return fresh


def quarantine_findings(quarantined: Iterable[Quarantine]) -> list[Diagnostic]:
    """One finding for every Ingress (or ConfigMap) whose text stood in a fragment that nginx refused."""
    return [
        Diagnostic(
            "refused-by-nginx",
            Severity.ERROR,
            origin,
            FieldPath(),
            f"nginx refused what was made of this object: {refused.message}.",
            Effect.PREVIOUS_VERSION_SERVED if refused.served is Stand.LAST_GOOD else Effect.HOST_UNSERVED,
            related=tuple(other for other in refused.origins if other != origin),
        )
        for refused in quarantined
        for origin in refused.origins
    ]


def with_quarantine(report: Report, quarantined: Iterable[Quarantine]) -> Report:
    """The report of a build with what nginx had to say about it."""
    found = quarantine_findings(quarantined)
    return Report.of([*report.diagnostics, *found]) if found else report


def _fields(finding: Diagnostic) -> dict[str, object]:
    return {
        "severity": str(finding.severity),
        "code": finding.code,
        "object": finding.object,
        "field": finding.field.text,
        "detail": finding.message,
        "effect": str(finding.effect),
    }
