"""What holds for all Ingresses and all hosts: the controller's ConfigMap, and what the flags name.

It is found out anew in each translation; when it comes to something else, nothing that was done before counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.model.configuration import MainSettings
from controller.model.diagnostics import Effect
from controller.model.features import LocationFeature
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind
from controller.translate.annotations.families import error_pages
from controller.translate.backends import Target, Upstreams
from controller.translate.configmap import settings_of, with_named_objects
from controller.translate.findings import Findings
from controller.translate.steps import Work
from controller.translate.view import View


@dataclass(frozen=True, slots=True)
class Everyone:
    """`closing`: keys of the ConfigMap that close routes. `features`: what the default backend has where no Ingress
    has a word. `any_class`: whether there is an IngressClass at all."""

    options: Options
    main: MainSettings
    closing: tuple[str, ...]
    default_target: Target | None
    features: tuple[LocationFeature, ...]
    any_class: bool
    unreadable: frozenset[Kind]


def of_everyone(work: Work) -> Everyone:
    snapshot, options, findings = work.world.snapshot, work.world.options, work.findings
    main, closing = _main_settings(work.view, options, findings)
    if options.configmap:
        main = with_named_objects(main, options.configmap, work.resources, findings)
    return Everyone(
        options if main.limit_divide_by_replicas else replace(options, replicas=1),
        main,
        closing,
        _default_target(work.upstreams, options, main, findings),
        error_pages.of_everyone(main, work.resources),
        bool(snapshot.classes),
        snapshot.unreadable,
    )


def _main_settings(view: View, options: Options, findings: Findings) -> tuple[MainSettings, tuple[str, ...]]:
    found = view.configmap(options.configmap) if options.configmap else None
    if found is None or options.configmap is None:
        return MainSettings(), ()
    settings, closing = settings_of(found.data, options.configmap, findings)
    if settings.allow_cross_namespace_resources and not options.allowed_secret_namespaces:
        findings.warning(
            "configmap-key-unsupported",
            options.configmap,
            FieldPath("data").key("allow-cross-namespace-resources"),
            "Every Ingress could name every Secret of the cluster; only namespaces of a list may be named.",
            Effect.SETTING_IGNORED,
            "Start the controller with --allowed-secret-namespaces=NAMESPACE,...",
        )
    return settings, closing


def _default_target(upstreams: Upstreams, options: Options, main: MainSettings, findings: Findings) -> Target | None:
    key = options.default_backend_service
    if key is None:
        if main.custom_http_errors and options.configmap:
            findings.warning(
                "error-backend-missing",
                options.configmap,
                FieldPath("data").key("custom-http-errors"),
                "There is no --default-backend-service, so only Ingresses with default-backend have error pages.",
                Effect.SETTING_IGNORED,
            )
        return None
    target = upstreams.first_port(key)
    if target is None:
        findings.error(
            "default-backend-not-found",
            key,
            FieldPath("spec.ports"),
            "The Service of --default-backend-service does not exist or has no port.",
            Effect.PATH_UNSERVED,
        )
    return target
