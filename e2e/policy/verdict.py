"""What the controller finds wrong with one Ingress that is looked at by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.k8s.codec import decode_document
from controller.model.diagnostics import Diagnostic, Severity
from controller.model.options import Options
from controller.model.refs import Kind
from controller.state.events import Applied
from controller.state.store import Store
from controller.translate.annotations.registry import TOLD, Verdict
from controller.translate.translator import translate

REFUSING = frozenset(
    {
        "annotation-closes-route",
        "annotation-invalid",
        "annotation-refused",
        "backend-unsupported",
        "catch-all-disabled",
        "host-invalid",
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
    canary = found.code == "annotation-unsupported" and found.severity is Severity.ERROR
    return found.code in REFUSING or canary


def notes(ingress: Mapping[str, Any]) -> list[Diagnostic]:
    """Those of which it should warn."""
    return [found for found in _findings(ingress) if found.code not in OTHER_OBJECTS and not refuses(found)]


def beyond_cel(found: Diagnostic) -> bool:
    """What only a PCRE engine, a decoder or another object can tell, and the policy therefore cannot."""
    if found.code == "annotation-closes-route":
        return " is not valid: " not in found.message and TOLD[Verdict.CLOSES] not in found.message
    return "it is not a regular expression" in found.message or "the regular expression is too large" in found.message


def _findings(ingress: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
    decoded = decode_document(Kind.INGRESS, ingress)
    assert decoded.object is not None, decoded.finding
    store = Store(frozenset())
    store.apply(Applied(decoded.key, decoded.object))
    return translate(store.snapshot(), Options(manifests=True), now=0).report.diagnostics
