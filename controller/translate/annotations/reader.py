"""Reads the annotations of one Ingress. What a family of annotations may ask of the world is here and nowhere else.

An invalid value of a plain annotation costs that annotation: its default counts, and the owner is told. An invalid
value of a protection closes the paths of the Ingress, since its default would be to serve without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from controller.k8s.core import ConfigMap, Secret, Service
from controller.k8s.ingress import Ingress
from controller.model.configuration import MainSettings, ProxyPass, Return
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.translate.annotations.annotation import OUR_PREFIX, Annotation
from controller.translate.annotations.values import BLANKS
from controller.translate.findings import Findings
from controller.translate.resources import Resources, split_reference

T = TypeVar("T")
D = TypeVar("D")
_ANNOTATIONS = FieldPath("metadata.annotations")


class Reader:
    """The annotations of one Ingress, and what they may name."""

    def __init__(
        self, ingress: Ingress, key: ObjectKey, main: MainSettings, resources: Resources, findings: Findings
    ) -> None:
        everything = ingress.metadata.annotations or {}
        self.ingress = ingress
        self.key = key
        self.main = main
        self.resources = resources
        self.prefix = resources.options.annotations_prefix + "/"
        self.named = _named(everything, self.prefix)
        self.ours = _named(everything, OUR_PREFIX)
        self.closed = False
        self._findings = findings

    @property
    def options(self) -> Options:
        return self.resources.options

    @property
    def namespace(self) -> str:
        return self.key.namespace

    # -- values

    def text(self, annotation: Annotation[T]) -> str:
        """The trimmed text; empty where the annotation is absent."""
        return (self.ours if annotation.ours else self.named).get(annotation.name, "")

    def value(self, annotation: Annotation[T], default: D) -> T | D:
        """The parsed value; the default, and a warning, where it is not in the grammar."""
        text = self.text(annotation)
        if not text:
            return default
        try:
            return annotation.grammar(text)
        except ValueError as reason:
            self.warn(annotation, f"{_shown(text)} is not valid: {reason}.", code="annotation-invalid")
            return default

    def secure(self, annotation: Annotation[T], default: D) -> T | D:
        """As `value`, but what is not in the grammar closes the paths of the Ingress."""
        text = self.text(annotation)
        if not text:
            return default
        try:
            return annotation.grammar(text)
        except ValueError as reason:
            self.close(annotation, f"{_shown(text)} is not valid: {reason}.")
            return default

    # -- findings

    def where(self, annotation: Annotation[T]) -> FieldPath:
        return _ANNOTATIONS.key((OUR_PREFIX if annotation.ours else self.prefix) + annotation.name)

    def close(
        self, annotation: Annotation[T], message: str, hint: str = "", code: str = "annotation-closes-route"
    ) -> None:
        """The paths of the Ingress answer 503, because a protection cannot be given as it was asked for."""
        self.closed = True
        message = f"{message} The paths of this Ingress answer 503."
        self._findings.error(code, self.key, self.where(annotation), message, Effect.PATH_UNSERVED, hint)

    def close_by(self, owner: ObjectKey, where: FieldPath, message: str) -> None:
        """As `close`, because of a setting that is for everyone; told there, once."""
        self.closed = True
        self._findings.error("annotation-closes-route", owner, where, message, Effect.HOST_UNSERVED)

    def error(
        self, annotation: Annotation[T], message: str, effect: Effect, hint: str = "", code: str = "annotation-invalid"
    ) -> None:
        """Some of what the owner asks for is not served."""
        self._findings.error(code, self.key, self.where(annotation), message, effect, hint)

    def warn(
        self,
        annotation: Annotation[T],
        message: str,
        hint: str = "",
        code: str = "annotation-ignored",
        effect: Effect = Effect.SETTING_IGNORED,
    ) -> None:
        """Served, though not quite as written."""
        self._findings.warning(code, self.key, self.where(annotation), message, effect, hint)

    # -- other objects

    def secret(self, annotation: Annotation[T], reference: str) -> Secret | None:
        """The Secret of `name` or `namespace/name`; None where it does not exist or may not be used from here.

        Raises `ValueError` for what is no such reference. The caller decides what its absence means.
        """
        key = self._key(Kind.SECRET, reference)
        return self.resources.secret(key) if key else None

    def configmap(self, annotation: Annotation[T], reference: str) -> ConfigMap | None:
        """The ConfigMap of `name` or `namespace/name`; as `secret`."""
        key = self._key(Kind.CONFIG_MAP, reference)
        return self.resources.configmap(key) if key else None

    def service(self, name: str) -> Service | None:
        """A Service of the Ingress's own namespace."""
        return self.resources.service(self.namespace, name)

    def upstream_of(
        self, annotation: Annotation[T], name: str, port: int | str | None = None
    ) -> ProxyPass | Return | None:
        """A Service of the own namespace, straight to its pods; without a port its first one."""
        return self.resources.upstream_of(self.namespace, name, port, self.key, self.where(annotation))

    def file(self, name: str, content: SecretBytes | bytes) -> str:
        """Have the data plane hold a file, which only nginx may read. Returns its name, for the feature."""
        self.resources.files[name] = content
        return name

    def _key(self, kind: Kind, reference: str) -> ObjectKey | None:
        namespace, name = split_reference(reference, self.namespace)
        if namespace != self.namespace and namespace not in self.options.allowed_secret_namespaces:
            return None
        return ObjectKey(kind, namespace, name)


def _named(everything: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The annotations of one prefix by the rest of their name, their values trimmed."""
    return {k.removeprefix(prefix): trimmed(v) for k, v in everything.items() if k.startswith(prefix)}


def trimmed(text: str) -> str:
    """Without blanks around it and around each of its lines."""
    return "\n".join(line.strip(BLANKS) for line in text.split("\n")).strip(BLANKS)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
