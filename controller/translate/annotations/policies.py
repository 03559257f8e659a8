"""The annotations of one Ingress as a typed policy, with a finding for every one that is not carried out as written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from controller.k8s.ingress import Ingress
from controller.model.configuration import MainSettings
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.annotations import registry
from controller.translate.annotations.registry import OUR_ANNOTATIONS, OUR_PREFIX, VERDICTS, Annotation, Verdict
from controller.translate.annotations.values import BLANKS
from controller.translate.findings import Findings

T = TypeVar("T")
_ANNOTATIONS = FieldPath("metadata.annotations")


@dataclass(frozen=True, slots=True)
class IngressPolicy:
    """What the annotations of one Ingress ask for.

    `closed`: its paths answer 503, because a protection is missing. `global_auth`: `global-auth-url` is for it too.
    """

    use_regex: bool = False
    rewrite_target: str = ""
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    preserve_trailing_slash: bool = False
    port_in_redirect: bool = False
    access_log: bool = True
    hold: bool = True
    canary: bool = False
    global_auth: bool = True
    closed: bool = False


def policy_of(
    ingress: Ingress, key: ObjectKey, main: MainSettings, options: Options, findings: Findings
) -> IngressPolicy:
    """Reads every annotation of the Ingress once."""
    reader = _Reader(ingress, key, main, options, findings)
    return IngressPolicy(
        use_regex=reader.value(registry.USE_REGEX, False),
        rewrite_target=reader.value(registry.REWRITE_TARGET, ""),
        ssl_redirect=reader.value(registry.SSL_REDIRECT, main.ssl_redirect),
        force_ssl_redirect=reader.value(registry.FORCE_SSL_REDIRECT, main.force_ssl_redirect),
        preserve_trailing_slash=reader.value(registry.PRESERVE_TRAILING_SLASH, main.preserve_trailing_slash),
        port_in_redirect=reader.value(registry.USE_PORT_IN_REDIRECTS, main.use_port_in_redirects),
        access_log=reader.value(registry.ENABLE_ACCESS_LOG, True),
        hold=reader.value(registry.HOLD, True),
        canary=reader.canary(),
        global_auth=reader.value(registry.ENABLE_GLOBAL_AUTH, True),
        closed=reader.report_the_rest(),
    )


class _Reader:
    def __init__(
        self, ingress: Ingress, key: ObjectKey, main: MainSettings, options: Options, findings: Findings
    ) -> None:
        prefix = options.annotations_prefix + "/"
        everything = ingress.metadata.annotations or {}
        self._raw = _named(everything, prefix)
        self._ours = _named(everything, OUR_PREFIX)
        self._prefix = prefix
        self._key = key
        self._main = main
        self._findings = findings

    def value(self, annotation: Annotation[T], default: T) -> T:
        """The parsed value; the default, and a warning, where it is not in the grammar."""
        prefix, values = (OUR_PREFIX, self._ours) if annotation.ours else (self._prefix, self._raw)
        text = values.get(annotation.name, "")
        if not text:
            return default
        try:
            return annotation.grammar(text)
        except ValueError as reason:
            self._findings.warning(
                "annotation-invalid",
                self._key,
                _ANNOTATIONS.key(prefix + annotation.name),
                f"{_shown(text)} is not valid: {reason}.",
                Effect.SETTING_IGNORED,
            )
            return default

    def canary(self) -> bool:
        """Whether this is one; told as a whole, because none of its paths is made."""
        found = self.value(registry.CANARY, False)
        if found:
            self._findings.error(
                "annotation-unsupported",
                self._key,
                _ANNOTATIONS.key(self._prefix + registry.CANARY.name),
                registry.CANARIES_TOLD,
                Effect.OBJECT_IGNORED,
            )
        return found

    def report_the_rest(self) -> bool:
        """Findings for what is not carried out. True where one of them closes the paths of the Ingress."""
        closed = False
        for name, text in sorted(self._raw.items()):
            verdict = VERDICTS.get(name)
            where = _ANNOTATIONS.key(self._prefix + name)
            if not text or verdict in (Verdict.HONOURED, Verdict.SILENT) or (verdict and name.startswith("canary")):
                continue  # a canary is told as a whole
            if verdict is None:
                self._unknown(where, registry.nearest_name(name, VERDICTS), self._prefix)
            elif verdict is Verdict.CLOSES:
                closed |= self._closes(name, text, where)
            elif verdict is Verdict.REFUSED:
                self._refused(where)
            else:
                self._unsupported(where)
        for name in sorted(self._ours.keys() - OUR_ANNOTATIONS):
            near = registry.nearest_name(name, OUR_ANNOTATIONS)
            self._unknown(_ANNOTATIONS.key(OUR_PREFIX + name), near, OUR_PREFIX)
        return closed

    def _unknown(self, where: FieldPath, near: str | None, prefix: str) -> None:
        hint = f"Did you mean {prefix}{near}?" if near else ""
        self._findings.warning(
            "annotation-unknown", self._key, where, registry.UNKNOWN_TOLD, Effect.SETTING_IGNORED, hint
        )

    def _closes(self, name: str, text: str, where: FieldPath) -> bool:
        if registry.HARMLESS.get(name) == text.lower():
            return False
        if name in registry.FIREWALL and self._main.allow_missing_waf:
            self._unsupported(where)
            return False
        self._findings.error(
            "annotation-closes-route",
            self._key,
            where,
            registry.TOLD[Verdict.CLOSES],
            Effect.PATH_UNSERVED,
        )
        return True

    def _refused(self, where: FieldPath) -> None:
        self._findings.warning(
            "annotation-refused",
            self._key,
            where,
            registry.TOLD[Verdict.REFUSED],
            Effect.SETTING_IGNORED,
        )

    def _unsupported(self, where: FieldPath) -> None:
        self._findings.warning(
            "annotation-unsupported",
            self._key,
            where,
            registry.TOLD[Verdict.UNSUPPORTED],
            Effect.SETTING_IGNORED,
        )


def _named(everything: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The annotations of one prefix by the rest of their name, their values trimmed."""
    return {k.removeprefix(prefix): _trimmed(v) for k, v in everything.items() if k.startswith(prefix)}


def _trimmed(text: str) -> str:
    """Without blanks around it and around each of its lines."""
    return "\n".join(line.strip(BLANKS) for line in text.split("\n")).strip(BLANKS)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
