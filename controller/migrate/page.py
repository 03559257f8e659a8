"""The report as one HTML file: nothing is loaded from anywhere, and what users wrote is only ever text.

Guarantees: every value is escaped, characters that are not printable are shown as escapes; style and script are known
to the page's own Content-Security-Policy by their digests, so nothing else could run; without JavaScript all of it can
be read.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from controller.migrate.answers import Outcome, Where
from controller.migrate.model import FATE_TEXT, FINE, Fate, IngressReport, Item, MigrationReport
from controller.migrate.shown import printable
from controller.migrate.table import MARKS
from controller.model.diagnostics import EFFECT_TEXT

_HERE = Path(__file__).parent
_PLACES = {Where.ANNOTATION: "annotation", Where.SETTING: "ConfigMap of the controller", Where.OBJECT: "object"}
_OUTCOMES = {Outcome.REPLACED: "", Outcome.NEEDLESS: "Not needed: ", Outcome.NONE: "Nothing: "}
_WEIGHT = {fate: number for number, fate in enumerate(Fate)}


def page(report: MigrationReport) -> str:
    """A complete document."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_shown)
    style, script = _asset("page.css"), _asset("page.js")
    return environment.from_string((_HERE / "page.html.j2").read_text(encoding="utf-8")).render(
        report=report,
        style=style,
        style_hash=_digest(style),
        script=script,
        script_hash=_digest(script),
        ingresses=[_ingress(each) for each in sorted(report.ingresses, key=lambda i: (-_WEIGHT[i.fate], i.key))],
        deployed=[{"installation": d.installation, "entries": _entries(d.items)} for d in report.deployed],
        settings=_entries(report.settings.items),
        ready=sum(1 for each in report.ingresses if each.fate in FINE),
        ingress_counts=report.count_ingresses(),
        item_counts=report.count_items(),
        marks=MARKS,
        texts=FATE_TEXT,
        effects=EFFECT_TEXT,
        places=_PLACES,
        outcomes=_OUTCOMES,
    )


def _ingress(ingress: IngressReport) -> dict[str, Any]:
    return {
        "name": ingress.key.path,
        "hosts": ingress.hosts,
        "ingress_class": ingress.ingress_class,
        "fate": ingress.fate,
        "notes": ingress.notes,
        "entries": _entries(ingress.items),
        "findings": ingress.own_findings,
    }


def _entries(items: tuple[Item, ...]) -> list[dict[str, Any]]:
    return [
        {
            "name": item.name,
            "value": item.value,
            "fate": item.fate,
            "note": item.note,
            "instead": item.instead,
            "advices": item.advices,
            "weight": (_WEIGHT[item.fate], item.name),
        }
        for item in items
    ]


def _asset(name: str) -> Markup:
    """A file of ours; `</` cannot stand in it."""
    return Markup((_HERE / name).read_text(encoding="utf-8"))  # noqa: S704


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown(value: Any) -> Any:
    return value if isinstance(value, Markup) else printable(str(value))
