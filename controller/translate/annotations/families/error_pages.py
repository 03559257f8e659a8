"""Error pages, and the Service that answers while the own one has no pods."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.configuration import MainSettings, ProxyPass
from controller.model.features import LocationFeature
from controller.model.features.error_pages import ErrorPages
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.resources import Resources

NOBODY_LEFT = 499
"""nginx's own status for a client that has gone. It refuses a configuration that would replace it."""


def replaceable(codes: Iterable[int]) -> tuple[int, ...]:
    """Each status once, in order, without those that nginx cannot replace."""
    return tuple(sorted(set(codes) - {NOBODY_LEFT}))


_STATUS = " *(?:[45][0-9]{2} *)?"
statuses = Grammar(
    re.compile(rf"{_STATUS}(?:,{_STATUS})*"),
    "statuses from 400 to 599 with commas between",
    lambda text: replaceable(int(item) for item in text.split(",") if item.strip()),
)
service_name = Grammar(re.compile("[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"), "the name of a Service", str)

CODES = Annotation("custom-http-errors", statuses)
DEFAULT_BACKEND = Annotation("default-backend", service_name)
UNTOUCHED = Annotation("disable-proxy-intercept-errors", values.boolean)

ANNOTATIONS = (CODES, DEFAULT_BACKEND, UNTOUCHED)


def read(reader: Reader) -> Iterable[LocationFeature]:
    """A code that the annotation names is its own; what the ConfigMap names is for those that name none."""
    own = _default_backend(reader)
    codes = reader.value(CODES, reader.main.custom_http_errors)
    everyones = _of_everyone(reader.resources) if codes else None
    if codes and own is None and everyones is None:
        if reader.text(CODES):
            reader.warn(
                CODES,
                "There is no Service that could give error pages, so answers stay as they are.",
                "Name one with default-backend, or ask for --default-backend-service.",
                code="error-backend-missing",
            )
        codes = ()
    if codes or own:
        yield ErrorPages(
            codes=codes,
            backend=(own or everyones) if codes else None,
            last_resort=everyones if codes and own else None,
            intercept=not reader.value(UNTOUCHED, reader.main.disable_proxy_intercept_errors),
            instead=own,
        )


def of_everyone(main: MainSettings, resources: Resources) -> tuple[LocationFeature, ...]:
    """What the ConfigMap asks for where no Ingress has a word."""
    backend = _of_everyone(resources) if main.custom_http_errors else None
    if backend is None:
        return ()
    return (ErrorPages(main.custom_http_errors, backend, intercept=not main.disable_proxy_intercept_errors),)


def _of_everyone(resources: Resources) -> ProxyPass | None:
    key = resources.options.default_backend_service
    target = resources.upstreams.first_port(key) if key else None
    return target.action if target and isinstance(target.action, ProxyPass) else None


def _default_backend(reader: Reader) -> ProxyPass | None:
    name = reader.value(DEFAULT_BACKEND, "")
    if not name:
        return None
    found = reader.upstream_of(DEFAULT_BACKEND, name)
    if isinstance(found, ProxyPass):
        return found
    reader.warn(DEFAULT_BACKEND, f"There is no Service {reader.namespace}/{name} with a port, so nobody stands in.")
    return None
