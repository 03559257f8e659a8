"""Ingresses for the tests, in few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PREFIX = "nginx.ingress.kubernetes.io/"
OUR_CLASS = "headrace"
SERVICE = {"service": {"name": "web", "port": {"number": 80}}}
BUCKET = {"resource": {"apiGroup": "storage.example.com", "kind": "Bucket", "name": "static"}}
"""A backend that is no Service."""


def ingress(
    annotations: Mapping[str, str] | None = None,
    *,
    path: str = "/",
    path_type: str = "Prefix",
    host: str = "shop.example.com",
    rules: Iterable[Mapping[str, Any]] = (),
    name: str = "shop",
    class_name: str | None = OUR_CLASS,
    **spec: Any,
) -> dict[str, Any]:
    """One rule with one path, or `rules` with `host` and `paths` (pairs of type and path). Annotations without a slash
    in their names get the usual prefix."""
    wanted = rules or [{"host": host, "paths": [(path_type, path)]}]
    named = {k if "/" in k else PREFIX + k: v for k, v in (annotations or {}).items()}
    own_class = {} if class_name is None else {"ingressClassName": class_name}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default", "annotations": named},
        "spec": {**own_class, "rules": [_rule(rule) for rule in wanted], **spec},
    }


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    paths = [{"pathType": kind, "path": path, "backend": SERVICE} for kind, path in rule["paths"]]
    return {"host": rule["host"], "http": {"paths": paths}}
