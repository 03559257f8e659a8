"""Ingresses of extensions/v1beta1 and networking.k8s.io/v1beta1, read as networking.k8s.io/v1 with a warning.

https://kubernetes.io/docs/reference/using-api/deprecation-guide/#ingress-v122
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.refs import FieldPath, Kind, ObjectKey

LEGACY = frozenset({"extensions/v1beta1", "networking.k8s.io/v1beta1"})
MODERN = "networking.k8s.io/v1"


def modernise(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Diagnostic, ...]]:
    """The document in its modern form, and what to tell its owner. Anything that is not legacy passes unchanged."""
    version = document.get("apiVersion")
    if version not in LEGACY or document.get("kind") not in ("Ingress", "IngressClass"):
        return dict(document), ()
    kind = Kind(document["kind"])
    meta = document.get("metadata") or {}
    namespace = "" if kind is Kind.INGRESS_CLASS else str(meta.get("namespace") or "default")
    key = ObjectKey(kind, namespace, str(meta.get("name", "?")))
    finding = Diagnostic(
        "api-version-legacy",
        Severity.WARNING,
        key,
        FieldPath("apiVersion"),
        f"{version} is not served by Kubernetes any more.",
        Effect.NONE,
        "Write apiVersion: networking.k8s.io/v1, pathType, and backend: {service: {name, port: {number or name}}} "
        "instead of serviceName and servicePort; spec.backend is now spec.defaultBackend.",
    )
    built = {**document, "apiVersion": MODERN}
    if kind is Kind.INGRESS and isinstance(document.get("spec"), Mapping):
        spec, more = _spec(document["spec"], key)
        return {**built, "spec": spec}, (finding, *more)
    return built, (finding,)


def _spec(spec: Mapping[str, Any], key: ObjectKey) -> tuple[dict[str, Any], list[Diagnostic]]:
    built = {name: value for name, value in spec.items() if name != "backend"}
    found: list[Diagnostic] = []
    if spec.get("backend"):
        built["defaultBackend"] = _backend(spec["backend"])
    if isinstance(spec.get("rules"), list):
        built["rules"] = [_rule(rule, index, key, found) for index, rule in enumerate(spec["rules"])]
    return built, found


def _rule(rule: Any, index: int, key: ObjectKey, found: list[Diagnostic]) -> Any:
    paths = ((rule or {}).get("http") or {}).get("paths") if isinstance(rule, Mapping) else None
    if not isinstance(paths, list):
        return rule
    http = {**rule["http"], "paths": [_path(p, RulePlace(key, index, n), found) for n, p in enumerate(paths)]}
    return {**rule, "http": http}


class RulePlace(tuple[ObjectKey, int, int]):
    """Owner, rule and path of a finding."""

    def __new__(cls, key: ObjectKey, rule: int, path: int) -> RulePlace:
        return super().__new__(cls, (key, rule, path))


def _path(entry: Any, place: RulePlace, found: list[Diagnostic]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    built = {**entry, "backend": _backend(entry.get("backend"))}
    path = entry.get("path")
    if isinstance(path, str) and path.endswith("/*"):
        key, rule, number = place
        built |= {"path": path[:-1], "pathType": "Prefix"}
        found.append(
            Diagnostic(
                "api-version-legacy",
                Severity.WARNING,
                key,
                FieldPath(f"spec.rules[{rule}].http.paths[{number}].path"),
                f"{path!r} is a pattern of other controllers; it is read as pathType Prefix, path {path[:-1]!r}.",
                Effect.NONE,
                f"Write path: {path[:-2] or '/'} with pathType: Prefix.",
            )
        )
    return built


def _backend(backend: Any) -> Any:
    if not isinstance(backend, Mapping) or "serviceName" not in backend:
        return backend
    port = backend.get("servicePort")
    number = int(port) if isinstance(port, int) or (isinstance(port, str) and port.isdigit()) else None
    built_port = {"number": number} if number is not None else {"name": port}
    rest = {name: value for name, value in backend.items() if name not in ("serviceName", "servicePort")}
    return {**rest, "service": {"name": backend["serviceName"], "port": built_port}}
