"""Which Ingresses are ours: class selection and namespaces (routing rules, "Which objects count").

Kubernetes: https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class
"""

from __future__ import annotations

from controller.k8s.ingress import Ingress
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.translate.findings import Findings
from controller.translate.labels import LabelSelector
from controller.translate.view import View

CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def is_ours(key: ObjectKey, ingress: Ingress, view: View, options: Options, findings: Findings) -> bool:
    """Whether this controller serves the Ingress."""
    return (
        _in_namespaces(ingress, view, options)
        and _has_our_class(key, ingress, view, options, findings)
        and _may_catch_all(key, ingress, options, findings)
    )


def _in_namespaces(ingress: Ingress, view: View, options: Options) -> bool:
    namespace = ingress.metadata.namespace
    if options.watch_namespace and namespace != options.watch_namespace:
        return False
    if not options.watch_namespace_selector:
        return True
    found = view.namespace(namespace)
    labels = (found.metadata.labels or {}) if found else {}
    return LabelSelector.parse(options.watch_namespace_selector).matches(labels)


def _has_our_class(key: ObjectKey, ingress: Ingress, view: View, options: Options, findings: Findings) -> bool:
    if options.manifests and not view.snapshot.classes:
        return True
    named = ingress.spec.ingress_class_name
    if named is not None and Kind.INGRESS_CLASS not in view.snapshot.unreadable:
        return _is_known_class(key, named, view, options, findings)
    if named is not None and options.ingress_class_by_name and named == options.ingress_class:
        return True  # known by its name alone, so that the field works without cluster-wide rights
    annotation = (ingress.metadata.annotations or {}).get(CLASS_ANNOTATION)
    if annotation is not None:
        return annotation == options.ingress_class
    return options.watch_ingress_without_class


def _is_known_class(key: ObjectKey, name: str, view: View, options: Options, findings: Findings) -> bool:
    ingress_class = view.ingress_class(name)
    if ingress_class is None:
        findings.warning(
            "class-not-found",
            key,
            FieldPath("spec.ingressClassName"),
            f"There is no IngressClass {name!r}.",
            Effect.OBJECT_IGNORED,
        )
        return False
    if options.ingress_class_by_name and name == options.ingress_class:
        return True
    return ingress_class.spec.controller == options.controller_class


def _may_catch_all(key: ObjectKey, ingress: Ingress, options: Options, findings: Findings) -> bool:
    if ingress.spec.default_backend is None or not options.disable_catch_all:
        return True
    findings.error(
        "catch-all-disabled",
        key,
        FieldPath("spec.defaultBackend"),
        "A default backend is not allowed here (--disable-catch-all).",
        Effect.OBJECT_IGNORED,
    )
    return False
