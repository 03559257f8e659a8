"""What the controller finds wrong with one Ingress that is looked at by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.k8s.codec import decode_document
from controller.model.diagnostics import Diagnostic
from controller.model.options import Options
from controller.model.refs import Kind
from controller.state.events import Applied
from controller.state.store import Store
from controller.translate.annotations.annotation import OUR_PREFIX
from controller.translate.annotations.reader import trimmed
from controller.translate.annotations.registry import HONOURED, TOLD, Verdict
from controller.translate.annotations.values import LONGEST, Grammar
from controller.translate.translator import translate
from e2e.policy.objects import PREFIX

REFUSING = frozenset(
    {
        "annotation-closes-route",
        "annotation-invalid",
        "annotation-refused",
        "backend-unsupported",
        "catch-all-disabled",
        "host-invalid",
        "ingress-forbidden-text",
        "path-invalid",
        "path-regex-invalid",
    }
)
OTHER_OBJECTS = frozenset({"service-not-found", "secret-not-found"})
"""Findings that are no property of the Ingress."""


def refusals(ingress: Mapping[str, Any]) -> list[Diagnostic]:
    """The findings for which the policy should refuse the Ingress."""
    return [found for found in _findings(ingress) if refuses(found)]


def refuses(found: Diagnostic) -> bool:
    return found.code in REFUSING


def notes(ingress: Mapping[str, Any]) -> list[Diagnostic]:
    """Those of which it should warn."""
    return [found for found in _findings(ingress) if found.code not in OTHER_OBJECTS and not refuses(found)]


def outside_grammars(ingress: Mapping[str, Any]) -> list[str]:
    """Annotations whose text is not in their pattern. The policy refuses these, also where nothing reads them."""
    found = ingress["metadata"].get("annotations") or {}
    named = ((f"{OUR_PREFIX if a.ours else PREFIX}{a.name}", a.grammar) for a in HONOURED)
    return [name for name, grammar in named if (text := trimmed(str(found.get(name, "")))) and not _fits(grammar, text)]


def _fits(grammar: Grammar[Any], text: str) -> bool:
    return len(text) <= LONGEST and grammar.pattern.fullmatch(text) is not None


def beyond_cel(found: Diagnostic) -> bool:
    """What only a PCRE engine, a decoder or another object can tell, and the policy therefore cannot."""
    if found.code in ("annotation-closes-route", "annotation-invalid"):
        return TOLD[Verdict.CLOSES] not in found.message  # patterns are told by `outside_grammars`
    if found.code == "ingress-forbidden-text":
        return True
    return "it is not a regular expression" in found.message or "the regular expression is too large" in found.message


def _findings(ingress: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
    decoded = decode_document(Kind.INGRESS, ingress)
    assert decoded.object is not None, decoded.finding
    store = Store(frozenset())
    store.apply(Applied(decoded.key, decoded.object))
    return translate(store.snapshot(), Options(manifests=True), now=0).report.diagnostics
