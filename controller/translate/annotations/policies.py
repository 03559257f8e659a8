"""The annotations of one Ingress as a typed policy, with a finding for every one that is not carried out as written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from controller.k8s.ingress import Ingress
from controller.model.configuration import MainSettings
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.annotations import values
from controller.translate.annotations.registry import (
    OUR_ANNOTATIONS,
    OUR_PREFIX,
    VERDICTS,
    Verdict,
    nearest_name,
)
from controller.translate.findings import Findings

T = TypeVar("T")
_ANNOTATIONS = FieldPath("metadata.annotations")
_REWRITE = re.compile(r"/?(?:[A-Za-z0-9._~/:-]|\$[1-9](?![0-9]))*")
_FIREWALL = frozenset({"enable-modsecurity", "enable-owasp-core-rules"})
_MAX_TARGET = 2_000
"""nginx reads one parameter into a buffer of 4,096 bytes."""
_HARMLESS = {
    ("proxy-ssl-verify", "off"),
    ("enable-modsecurity", "false"),
    ("enable-owasp-core-rules", "false"),
    ("limit-rps", "0"),
    ("limit-rpm", "0"),
    ("limit-connections", "0"),
}


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
        use_regex=reader.value("use-regex", values.boolean, False),
        rewrite_target=reader.value("rewrite-target", _rewrite_target, ""),
        ssl_redirect=reader.value("ssl-redirect", values.boolean, main.ssl_redirect),
        force_ssl_redirect=reader.value("force-ssl-redirect", values.boolean, main.force_ssl_redirect),
        preserve_trailing_slash=reader.value("preserve-trailing-slash", values.boolean, main.preserve_trailing_slash),
        port_in_redirect=reader.value("use-port-in-redirects", values.boolean, main.use_port_in_redirects),
        access_log=reader.value("enable-access-log", values.boolean, True),
        hold=reader.ours("hold", values.boolean, True),
        canary=reader.canary(),
        global_auth=reader.value("enable-global-auth", values.boolean, True),
        closed=reader.report_the_rest(),
    )


class _Reader:
    def __init__(
        self, ingress: Ingress, key: ObjectKey, main: MainSettings, options: Options, findings: Findings
    ) -> None:
        prefix = options.annotations_prefix + "/"
        everything = ingress.metadata.annotations or {}
        self._raw = {k.removeprefix(prefix): _trimmed(v) for k, v in everything.items() if k.startswith(prefix)}
        self._ours = {k: _trimmed(v) for k, v in everything.items() if k.startswith(OUR_PREFIX)}
        self._prefix = prefix
        self._key = key
        self._main = main
        self._findings = findings

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The parsed value; the default, and a warning, where it is not in the grammar."""
        return self._parse(self._prefix + name, self._raw.get(name, ""), parse, default)

    def ours(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The same for an annotation that ingress-nginx never had."""
        return self._parse(OUR_PREFIX + name, self._ours.get(OUR_PREFIX + name, ""), parse, default)

    def canary(self) -> bool:
        """Whether this is one; told as a whole, because none of its paths is made."""
        found = self.value("canary", values.boolean, False)
        if found:
            self._findings.error(
                "annotation-unsupported",
                self._key,
                _ANNOTATIONS.key(self._prefix + "canary"),
                "Canaries are not carried out in this version, so all traffic stays with the main Ingress.",
                Effect.OBJECT_IGNORED,
            )
        return found

    def _parse(self, full_name: str, text: str, parse: Callable[[str], T], default: T) -> T:
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as reason:
            self._findings.warning(
                "annotation-invalid",
                self._key,
                _ANNOTATIONS.key(full_name),
                f"{_shown(text)} is not valid: {reason}.",
                Effect.SETTING_IGNORED,
            )
            return default

    def report_the_rest(self) -> bool:
        """Findings for what is not carried out. True where one of them closes the paths of the Ingress."""
        closed = False
        for name, text in sorted(self._raw.items()):
            verdict = VERDICTS.get(name)
            where = _ANNOTATIONS.key(self._prefix + name)
            if not text or verdict in (Verdict.HONOURED, Verdict.SILENT) or (verdict and name.startswith("canary")):
                continue  # a canary is told as a whole
            if verdict is None:
                self._unknown(where, nearest_name(name, VERDICTS), self._prefix)
            elif verdict is Verdict.CLOSES:
                closed |= self._closes(name, text, where)
            elif verdict is Verdict.REFUSED:
                self._refused(where)
            else:
                self._unsupported(where)
        for full_name in sorted(self._ours):
            name = full_name.removeprefix(OUR_PREFIX)
            if name not in OUR_ANNOTATIONS:
                self._unknown(_ANNOTATIONS.key(full_name), nearest_name(name, OUR_ANNOTATIONS), OUR_PREFIX)
        return closed

    def _unknown(self, where: FieldPath, near: str | None, prefix: str) -> None:
        hint = f"Did you mean {prefix}{near}?" if near else ""
        self._findings.warning(
            "annotation-unknown", self._key, where, "There is no such annotation.", Effect.SETTING_IGNORED, hint
        )

    def _closes(self, name: str, text: str, where: FieldPath) -> bool:
        if (name, text.lower()) in _HARMLESS:
            return False
        if name in _FIREWALL and self._main.allow_missing_waf:
            self._unsupported(where)
            return False
        self._findings.error(
            "annotation-closes-route",
            self._key,
            where,
            "This protection is not available in this version, so the paths of this Ingress answer 503.",
            Effect.PATH_UNSERVED,
        )
        return True

    def _refused(self, where: FieldPath) -> None:
        self._findings.warning(
            "annotation-refused",
            self._key,
            where,
            "Text for the nginx configuration is never taken from an annotation.",
            Effect.SETTING_IGNORED,
        )

    def _unsupported(self, where: FieldPath) -> None:
        self._findings.warning(
            "annotation-unsupported",
            self._key,
            where,
            "This annotation is not carried out in this version.",
            Effect.SETTING_IGNORED,
        )


def _trimmed(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines()).strip() if "\n" in text else text.strip()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _rewrite_target(text: str) -> str:
    if len(text) > _MAX_TARGET:
        raise ValueError(f"expected no more than {_MAX_TARGET} characters")
    if not _REWRITE.fullmatch(text):
        raise ValueError("expected a path of letters, digits, - . _ ~ / : and $1 to $9")
    return text
