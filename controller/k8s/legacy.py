"""Ingresses of extensions/v1beta1 and networking.k8s.io/v1beta1, read as networking.k8s.io/v1 with a warning.

The API server has not served these versions since Kubernetes 1.22, so they stand in files only. Each finding shows the
modern form of the object's own values.
https://kubernetes.io/docs/reference/using-api/deprecation-guide/#ingress-v122
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from controller.k8s.codec import NAMELESS
from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.refs import FieldPath, Kind, ObjectKey

LEGACY = frozenset({"extensions/v1beta1", "networking.k8s.io/v1beta1"})
MODERN = "networking.k8s.io/v1"
_PATHS = FieldPath("spec.rules")


class Modern(NamedTuple):
    """A document in its modern form, and what to tell its owner."""

    document: dict[str, Any]
    findings: tuple[Diagnostic, ...] = ()


def modernise(document: Mapping[str, Any]) -> Modern:
    """Anything that is not legacy passes unchanged."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if version not in LEGACY or kind not in (Kind.INGRESS, Kind.INGRESS_CLASS):
        return Modern(dict(document))
    built = {**document, "apiVersion": MODERN}
    conversion = _Conversion(document, Kind(kind))
    if kind == Kind.INGRESS and isinstance(document.get("spec"), Mapping):
        built["spec"] = conversion.spec(document["spec"])
    return Modern(built, (conversion.version_finding(str(version)), *conversion.findings))


class _Conversion:
    """One object on its way. Shapes that make no sense pass unchanged: the codec says what is wrong with them."""

    def __init__(self, document: Mapping[str, Any], kind: Kind) -> None:
        meta = document.get("metadata")
        names = meta if isinstance(meta, Mapping) else {}
        namespace = "" if kind is Kind.INGRESS_CLASS else str(names.get("namespace") or "default")
        self._key = ObjectKey(kind, namespace, str(names.get("name") or NAMELESS))
        self._regex = _uses_regex(names.get("annotations"))
        self._first_backend: Any = None
        self.findings: list[Diagnostic] = []

    def version_finding(self, version: str) -> Diagnostic:
        parts = [f"apiVersion: {MODERN}"]
        if self._first_backend is not None:
            parts += ["pathType: Prefix", f"backend: {_flow(self._first_backend)}"]
        message = f"Kubernetes has not served {version} since version 1.22; it is read as {MODERN}."
        return self._warning(FieldPath("apiVersion"), message, f"Write {', '.join(parts)}.")

    def spec(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        built = {name: value for name, value in spec.items() if name != "backend"}
        if spec.get("backend") is not None:
            built["defaultBackend"] = self._default_backend(spec["backend"])
        if isinstance(spec.get("rules"), list):
            built["rules"] = [self._rule(rule, _PATHS.index(n)) for n, rule in enumerate(spec["rules"])]
        return built

    def _default_backend(self, old: Any) -> Any:
        built = self._backend(old)
        hint = f"Write defaultBackend: {_flow(built)}."
        self.findings.append(self._warning(FieldPath("spec.backend"), "Its name is now defaultBackend.", hint))
        return built

    def _rule(self, rule: Any, field: FieldPath) -> Any:
        http = rule.get("http") if isinstance(rule, Mapping) else None
        paths = http.get("paths") if isinstance(http, Mapping) else None
        if not isinstance(http, Mapping) or not isinstance(paths, list):
            return rule
        place = field.child("http.paths")
        return {**rule, "http": {**http, "paths": [self._path(p, place.index(n)) for n, p in enumerate(paths)]}}

    def _path(self, entry: Any, field: FieldPath) -> Any:
        if not isinstance(entry, Mapping):
            return entry
        built = {**entry, "backend": self._backend(entry.get("backend"))}
        path = entry.get("path")
        if isinstance(path, str) and path.endswith("/*") and self._is_pattern(entry):
            built |= {"path": path[:-1], "pathType": "Prefix"}
            message = f"{path!r} is a pattern of other controllers; it is read as pathType Prefix, path {path[:-1]!r}."
            hint = f"Write path: {path[:-1]}, pathType: Prefix."
            self.findings.append(self._warning(field.child("path"), message, hint))
        return built

    def _is_pattern(self, entry: Mapping[str, Any]) -> bool:
        """Not where the owner says that the star belongs to a regular expression, or to the very path."""
        return not self._regex and entry.get("pathType") in (None, "ImplementationSpecific")

    def _backend(self, old: Any) -> Any:
        if not isinstance(old, Mapping) or "serviceName" not in old:
            return old
        rest = {name: value for name, value in old.items() if name not in ("serviceName", "servicePort")}
        built = {**rest, "service": {"name": old["serviceName"], "port": _port(old.get("servicePort"))}}
        self._first_backend = self._first_backend or built
        return built

    def _warning(self, field: FieldPath, message: str, hint: str) -> Diagnostic:
        return Diagnostic("api-version-legacy", Severity.WARNING, self._key, field, message, Effect.NONE, hint)


def _port(old: Any) -> dict[str, Any]:
    """IntOrString: text of digits is a number too, as ingress-nginx took it."""
    if isinstance(old, str) and old.isascii() and old.isdigit():
        return {"number": int(old)}
    return {"name": old} if isinstance(old, str) else {"number": old}


def _uses_regex(annotations: Any) -> bool:
    """With any prefix: which one is ours is not known here."""
    if not isinstance(annotations, Mapping):
        return False
    return any(str(name).endswith("/use-regex") and value == "true" for name, value in annotations.items())


def _flow(value: Any) -> str:
    """YAML in flow style; only for hints."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    return str(value)
