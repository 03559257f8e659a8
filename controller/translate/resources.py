"""Other objects that an annotation or a key names: looked up, and remembered also while they do not exist.

What is remembered is watched, so that a Secret that appears or changes takes effect without a change of the Ingress.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from controller.k8s.core import ConfigMap, Secret, Service
from controller.k8s.ingress import Backend, ServiceBackend, ServiceBackendPort
from controller.model.configuration import ProxyPass, Return
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.translate.backends import Upstreams
from controller.translate.view import View

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(slots=True)
class Resources:
    """Lookups of one step. `secrets`, `configmaps`: every key asked for. `files`: what nginx shall find, by name."""

    view: View
    options: Options
    upstreams: Upstreams
    secrets: set[ObjectKey] = field(default_factory=set)
    configmaps: set[ObjectKey] = field(default_factory=set)
    files: dict[str, SecretBytes | bytes] = field(default_factory=dict)

    def secret(self, key: ObjectKey) -> Secret | None:
        self.secrets.add(key)
        return self.view.secret(key)

    def configmap(self, key: ObjectKey) -> ConfigMap | None:
        self.configmaps.add(key)
        return self.view.configmap(key)

    def service(self, namespace: str, name: str) -> Service | None:
        return self.view.service(ObjectKey(Kind.SERVICE, namespace, name))

    def upstream_of(
        self, namespace: str, name: str, port: int | str | None, owner: ObjectKey, where: FieldPath
    ) -> ProxyPass | Return | None:
        """A Service as an upstream, straight to its pods. None where it does not exist or has no such port."""
        if self.service(namespace, name) is None:
            return None
        if port is None:
            target = self.upstreams.first_port(ObjectKey(Kind.SERVICE, namespace, name))
            return target.action if target else None  # type: ignore[return-value]
        wanted = ServiceBackendPort(number=port) if isinstance(port, int) else ServiceBackendPort(name=port)
        backend = Backend(service=ServiceBackend(name=name, port=wanted))
        found = self.upstreams.target_of(backend, namespace, owner, where)
        return found.action if found else None  # type: ignore[return-value]


def split_reference(text: str, namespace: str) -> tuple[str, str]:
    """`name` or `namespace/name` as the two. Raises `ValueError` where it is neither."""
    first, slash, second = text.partition("/")
    found = (first, second) if slash else (namespace, first)
    if not all(_NAME.fullmatch(part) for part in found):
        raise ValueError("expected name or namespace/name")
    return found
