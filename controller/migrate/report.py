"""Builds the report from objects that were read and from what our translation made of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from controller.k8s.ingress import Ingress
from controller.migrate.fates import FlagNames, annotation_items, flag_items, setting_items
from controller.migrate.installation import Installation
from controller.migrate.model import ClassReport, Deployed, IngressReport, Left, MigrationReport, Settings
from controller.model.configuration import Translation
from controller.model.diagnostics import Diagnostic
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.state.snapshot import Snapshot
from controller.translate.selection import CLASS_ANNOTATION

GENERAL = (
    "A Prefix path /foo/ takes /foo, too, and serves it directly; ingress-nginx answered it with a 301 to /foo/.",
    "Endpoints and certificates change without a reload; connections are kept over reloads.",
    "A request that reached no pod waits for a fresh one, 3 s at most (hold-deadline), instead of failing.",
    "An attempt to reach a pod takes 500 ms at most and is made again elsewhere, unless proxy-connect-timeout is set; "
    "ingress-nginx waited 5 s.",
    'The header Server is "nginx" and has no version; ingress-nginx removed it.',
    "Text for nginx is refused wherever it stands (snippets), and every value is checked against its grammar.",
    "A protection that cannot be given as it was asked for closes its routes (503). It is never skipped.",
)
"""What is different for everybody."""

SLASH = "Prefix path {path} takes {short}, too, and serves it directly instead of a 301."


def build(
    snapshot: Snapshot,
    translation: Translation,
    options: Options,
    installations: Iterable[Installation] = (),
    *,
    names: FlagNames,
    source: str,
    version: str,
) -> MigrationReport:
    """`translation` is of this snapshot with these options. `source` is shown, and is where the objects were read."""
    findings = translation.report.diagnostics
    told = _by_object(findings)
    served = {key: snapshot.ingresses[key] for key in sorted(translation.ingresses)}
    settings = _settings(snapshot, options, told)
    involved = {*served, *([settings.key] if settings.key else [])}
    left = tuple(_left(key, i, snapshot, options) for key, i in sorted(snapshot.ingresses.items()) if key not in served)
    return MigrationReport(
        version=version,
        source=source,
        flags=_flags(options),
        deployed=tuple(Deployed(each, flag_items(each.flags, names)) for each in installations),
        classes=_classes(snapshot, options),
        settings=settings,
        ingresses=tuple(_ingress(k, i, told.get(k, ()), options) for k, i in served.items()),
        left=left,
        others=tuple(f for f in findings if f.object not in involved),
        general=GENERAL,
    )


def _ingress(key: ObjectKey, ingress: Ingress, findings: tuple[Diagnostic, ...], options: Options) -> IngressReport:
    hosts = dict.fromkeys(rule.host or "*" for rule in ingress.spec.rules)
    if ingress.spec.default_backend is not None and not hosts:
        hosts = {"*": None}
    return IngressReport(
        key=key,
        ingress_class=_class_of(ingress),
        hosts=tuple(hosts),
        items=annotation_items(key, ingress, findings, options.annotations_prefix),
        findings=findings,
        notes=tuple(_path_notes(ingress)),
    )


def _path_notes(ingress: Ingress) -> Iterable[str]:
    seen: set[str] = set()
    for rule in ingress.spec.rules:
        for path in rule.http.paths if rule.http else ():
            text = path.path
            if path.path_type == "Prefix" and len(text) > 1 and text.endswith("/") and text not in seen:
                seen.add(text)
                yield SLASH.format(path=text, short=text.rstrip("/") or "/")


def _settings(snapshot: Snapshot, options: Options, told: dict[ObjectKey, tuple[Diagnostic, ...]]) -> Settings:
    key = options.configmap
    found = snapshot.configmaps.get(key) if key else None
    if key is None or found is None:
        return Settings(key, False)
    return Settings(key, True, setting_items(found.data, key, told.get(key, ())))


def _classes(snapshot: Snapshot, options: Options) -> tuple[ClassReport, ...]:
    named = [_class_of(ingress) for ingress in snapshot.ingresses.values()]
    found = []
    for key, each in sorted(snapshot.classes.items()):
        by_name = options.ingress_class_by_name and key.name == options.ingress_class
        served = by_name or each.spec.controller == options.controller_class
        found.append(ClassReport(key.name, each.spec.controller, served, named.count(key.name)))
    return tuple(found)


def _left(key: ObjectKey, ingress: Ingress, snapshot: Snapshot, options: Options) -> Left:
    namespace = key.namespace
    if options.watch_namespace and namespace != options.watch_namespace:
        return Left(key, f"Only namespace {options.watch_namespace} is served.")
    if options.watch_namespace_selector and not snapshot.namespaces.get(ObjectKey(Kind.NAMESPACE, "", namespace)):
        return Left(
            key, f"Its namespace is not known, and only those with {options.watch_namespace_selector} are served."
        )
    name = _class_of(ingress)
    if not name:
        return Left(key, "It names no class; --watch-ingress-without-class serves such Ingresses.")
    known = snapshot.classes.get(ObjectKey(Kind.INGRESS_CLASS, "", name))
    if known is None:
        return Left(key, f"There is no IngressClass {name}, and it is not --ingress-class {options.ingress_class}.")
    if known.spec.controller != options.controller_class:
        return Left(key, f"Its class {name} belongs to {known.spec.controller}.")
    return Left(key, "It is not selected by the flags for namespaces and default backends.")


def _class_of(ingress: Ingress) -> str:
    """The name of its class, by field or by the old annotation; empty where it names none."""
    if ingress.spec.ingress_class_name is not None:
        return ingress.spec.ingress_class_name
    return (ingress.metadata.annotations or {}).get(CLASS_ANNOTATION, "")


_NO_FLAGS = frozenset({"manifests", "allowed_secret_namespaces", "reserved_ports", "has_stream", "replicas"})
"""Fields of `Options` that follow from others, or from what the report looks at."""


def _flags(options: Options) -> tuple[str, ...]:
    """Those flags of `headrace run` that the report was made with and that are not the defaults."""
    default, found = Options(), []
    for name in Options.__dataclass_fields__:
        value = getattr(options, name)
        if value == getattr(default, name) or name in _NO_FLAGS:
            continue
        text = value.path if isinstance(value, ObjectKey) else str(value)
        flag = "--" + name.replace("_", "-")
        found.append(flag if value is True else f"{flag}={text}")
    return tuple(found)


def _by_object(findings: Iterable[Diagnostic]) -> dict[ObjectKey, tuple[Diagnostic, ...]]:
    found: dict[ObjectKey, list[Diagnostic]] = {}
    for finding in findings:
        found.setdefault(finding.object, []).append(finding)
    return {key: tuple(told) for key, told in found.items()}
