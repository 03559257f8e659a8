"""What tests of error pages and default backends share: Ingresses, Services, and what an error backend was told."""

from __future__ import annotations

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.headrace import Answer
from controller.tests.live.objects import Object, app, ingress, service, slice_at
from controller.tests.ports import free_port

PREFIX = "Prefix"
GLOBAL = ("--default-backend-service", "system/global")
ABOUT = ("x-code", "x-format", "x-original-uri", "x-namespace", "x-ingress-name", "x-service-name", "x-service-port")
MINE = {
    "custom_http_errors": "400, 401,403,404,405,413,418,429,494,495,496,497,499,500,502,503,504,",
    "default_backend": "pages",
}
"""Nearly all errors, and a Service of the own namespace that answers them."""


def own(
    host: str, backend: str = "app", namespace: str = "default", port: int | str = 80, **annotations: str
) -> Object:
    """An Ingress named like its host; `hr__hold` stands for `headrace.dev/hold`."""
    written = {key.replace("__", "/").replace("_", "-"): value for key, value in annotations.items()}
    written = {key.replace("hr/", "headrace.dev/"): value for key, value in written.items()}
    return ingress(
        host.removesuffix(".test"), (host, "/", PREFIX, backend, port), annotations=written, namespace=namespace
    )


def refusing(name: str) -> list[Object]:
    """A Service whose only pod refuses connections."""
    return [service(name), slice_at(name, ("127.0.0.1", free_port()))]


def services(backends: Backends, pages: Backend) -> list[Object]:
    """`app` answers, `pages` and `global` give error pages, `empty` has no pods."""
    return [
        *app("app", backends.start("app")),
        *app("pages", pages),
        *app("global", backends.start("global"), namespace="system"),
        service("empty"),
    ]


def told(answer: Answer) -> dict[str, str]:
    """What the error backend was told about the error."""
    return {name: value for name, value in answer.json["headers"].items() if name in ABOUT}
