"""Findings about snippets, with what takes the place of their directives as the hint."""

from __future__ import annotations

from dataclasses import replace

from controller.migrate.answers import Place
from controller.migrate.snippets import ANNOTATIONS, SETTINGS, advise, hint_of
from controller.model.diagnostics import Diagnostic, Report
from controller.model.refs import FieldPath, Kind
from controller.state.snapshot import Snapshot


def with_hints(report: Report, snapshot: Snapshot, prefix: str) -> Report:
    """The same findings in the same order. `prefix` is that of annotations, without the slash."""
    return Report(tuple(_hinted(finding, snapshot, prefix) for finding in report.diagnostics))


def _hinted(finding: Diagnostic, snapshot: Snapshot, prefix: str) -> Diagnostic:
    text, place = _snippet(finding, snapshot, prefix)
    if not text.strip():
        return finding
    hint = f"{finding.hint} {hint_of(advise(text, place))}".strip()
    return replace(finding, hint=hint)


def _snippet(finding: Diagnostic, snapshot: Snapshot, prefix: str) -> tuple[str, Place]:
    """The text of the snippet that the finding is about; empty where it is about none."""
    key = finding.object
    if key.kind is Kind.INGRESS and key in snapshot.ingresses:
        annotations = snapshot.ingresses[key].metadata.annotations or {}
        for name in ANNOTATIONS:
            full = f"{prefix}/{name}"
            if finding.field == FieldPath("metadata.annotations").key(full):
                return annotations.get(full, ""), Place(name, key.namespace, key.name)
    if key.kind is Kind.CONFIG_MAP and key in snapshot.configmaps:
        for name in SETTINGS:
            if finding.field == FieldPath("data").key(name):
                return snapshot.configmaps[key].data.get(name, ""), Place(name, key.namespace)
    return "", Place("")
