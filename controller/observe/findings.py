"""Diagnostics as plain values for JSON: the same shape wherever we show them."""

from __future__ import annotations

from controller.model.diagnostics import EFFECT_TEXT, Diagnostic, Report
from controller.model.refs import ObjectKey


def diagnostic_json(finding: Diagnostic) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "object": _object_json(finding.object),
        "field": finding.field.text,
        "message": finding.message,
        "effect": str(finding.effect),
        "effect_text": EFFECT_TEXT[finding.effect],
        "hint": finding.hint,
        "related": [_object_json(key) for key in finding.related],
    }


def report_json(report: Report) -> dict[str, object]:
    """`{"total": 1, "by_code": {…}, "diagnostics": […]}`"""
    return {
        "total": len(report.diagnostics),
        "by_code": dict(sorted(report.by_code().items())),
        "diagnostics": [diagnostic_json(finding) for finding in report.diagnostics],
    }


def _object_json(key: ObjectKey) -> dict[str, str]:
    return {"kind": str(key.kind), "namespace": key.namespace, "name": key.name}
