"""Which Ingresses are ours: class selection and namespaces (routing rules, "Which objects count").

Kubernetes: https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class
"""

from __future__ import annotations

from controller.k8s.ingress import Ingress
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.state.snapshot import Snapshot
from controller.translate.findings import Findings
from controller.translate.labels import LabelSelector
from controller.translate.order import oldest_first

CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def select_ingresses(snapshot: Snapshot, options: Options, findings: Findings) -> tuple[Ingress, ...]:
    """The Ingresses this controller serves, oldest first."""
    chosen = [
        ingress
        for key, ingress in snapshot.ingresses.items()
        if _in_namespaces(ingress, snapshot, options)
        and _has_our_class(key, ingress, snapshot, options, findings)
        and _may_catch_all(key, ingress, options, findings)
    ]
    return oldest_first(chosen)


def _in_namespaces(ingress: Ingress, snapshot: Snapshot, options: Options) -> bool:
    namespace = ingress.metadata.namespace
    if options.watch_namespace and namespace != options.watch_namespace:
        return False
    if not options.watch_namespace_selector:
        return True
    found = snapshot.namespaces.get(ObjectKey(Kind.NAMESPACE, "", namespace))
    labels = (found.metadata.labels or {}) if found else {}
    return LabelSelector.parse(options.watch_namespace_selector).matches(labels)


def _has_our_class(key: ObjectKey, ingress: Ingress, snapshot: Snapshot, options: Options, findings: Findings) -> bool:
    if options.manifests and not snapshot.classes:
        return True
    named = ingress.spec.ingress_class_name
    if named is not None and Kind.INGRESS_CLASS not in snapshot.unreadable:
        return _is_known_class(key, named, snapshot, options, findings)
    if named is not None and options.ingress_class_by_name and named == options.ingress_class:
        return True  # known by its name alone, so that the field works without cluster-wide rights
    annotation = (ingress.metadata.annotations or {}).get(CLASS_ANNOTATION)
    if annotation is not None:
        return annotation == options.ingress_class
    return options.watch_ingress_without_class


def _is_known_class(key: ObjectKey, name: str, snapshot: Snapshot, options: Options, findings: Findings) -> bool:
    ingress_class = snapshot.classes.get(ObjectKey(Kind.INGRESS_CLASS, "", name))
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
