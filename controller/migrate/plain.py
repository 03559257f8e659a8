"""The report as plain values for JSON; docs/migrate.md has the shape."""

from __future__ import annotations

from controller.migrate.model import Deployed, IngressReport, Item, MigrationReport, Settings
from controller.migrate.snippets import Advice, plan_of
from controller.model.refs import ObjectKey
from controller.observe.findings import diagnostic_json

SHAPE = 1
"""Raised where a field is renamed, removed, or means something else; not where one is added."""


def report_value(report: MigrationReport) -> dict[str, object]:
    """Keys stay as they are."""
    return {
        "shape": SHAPE,
        "headrace": report.version,
        "source": report.source,
        "flags": list(report.flags),
        "summary": {
            "problems": report.problems,
            "ingresses": {str(fate): number for fate, number in report.count_ingresses().items()},
            "items": {str(fate): number for fate, number in report.count_items().items()},
            "served": len(report.ingresses),
            "not_served": len(report.left),
        },
        "deployed": [_deployed(each) for each in report.deployed],
        "classes": [
            {"name": c.name, "controller": c.controller, "served": c.served, "ingresses": c.ingresses}
            for c in report.classes
        ],
        "configmap": _settings(report.settings),
        "ingresses": [_ingress(each) for each in report.ingresses],
        "not_served": [{**_name(left.key), "why": left.why} for left in report.left],
        "diagnostics": [diagnostic_json(finding) for finding in report.others],
        "general": list(report.general),
    }


def advice_value(advice: Advice) -> dict[str, object]:
    answer = advice.answer
    return {
        "line": advice.line,
        "directive": advice.directive,
        "within": advice.within,
        "outcome": str(answer.outcome),
        "note": answer.note,
        "replacements": [
            {
                "where": str(made.where),
                "name": made.name,
                "value": made.value,
                "on": advice.target if made.where == "annotation" else "",
                "carried_out": made.carried_out,
            }
            for made in answer.replacements
        ],
    }


def _deployed(deployed: Deployed) -> dict[str, object]:
    found = deployed.installation
    where = {"kind": found.kind, "namespace": found.namespace, "name": found.name, "image": found.image}
    return {**where, "flags": [_item(item) for item in deployed.items]}


def _settings(settings: Settings) -> dict[str, object]:
    named = _name(settings.key) if settings.key else {"namespace": "", "name": ""}
    return {**named, "found": settings.found, "keys": [_item(item) for item in settings.items]}


def _ingress(ingress: IngressReport) -> dict[str, object]:
    return {
        **_name(ingress.key),
        "class": ingress.ingress_class,
        "hosts": list(ingress.hosts),
        "fate": str(ingress.fate),
        "annotations": [_item(item) for item in ingress.items],
        "notes": list(ingress.notes),
        "diagnostics": [diagnostic_json(finding) for finding in ingress.findings],
    }


def _item(item: Item) -> dict[str, object]:
    value: dict[str, object] = {
        "name": item.name,
        "value": item.value,
        "fate": str(item.fate),
        "note": item.note,
        "instead": item.instead,
    }
    if item.advices:
        plan = plan_of(item.advices)
        value["snippet"] = [advice_value(advice) for advice in item.advices]
        value["plan"] = {
            "annotations": plan.annotations,
            "configmap": plan.settings,
            "objects": {name: list(lines) for name, lines in plan.objects.items()},
        }
    return value


def _name(key: ObjectKey) -> dict[str, str]:
    return {"namespace": key.namespace, "name": key.name}
