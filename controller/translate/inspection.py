"""What an Ingress is refused for before anything of it counts, and what the operator's ConfigMap forbids it.

- Text in hosts, paths and TLS sections that looks like an attempt on files of the controller (`--deep-inspect` of
  ingress-nginx, always on here), and objects that are too large: nothing of them is used.
- Annotations above `annotations-risk-level`, and values with a word of `annotation-value-word-blocklist`: ingress-nginx
  left such an Ingress out, and a wider path of another one would then have served without its protection. Here its
  paths stay, and answer 503.
- Control characters in annotations that nobody has read: told, since they stand there for no good reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from controller.k8s.ingress import Ingress
from controller.model.configuration import MainSettings
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.annotations.risks import level_of, risk_of
from controller.translate.findings import Findings
from controller.translate.hosts import normalise_host

MOST_PATHS = 2_000
"""Hosts and paths of one Ingress. An object of etcd has room for some more, and only an attack uses it."""

_FORBIDDEN = re.compile(
    r"\b(?:alias|root)\b[^;]*;|/etc/(?:passwd|shadow|group|nginx|ingress-controller)|/var/run/secrets|_by_lua",
    re.IGNORECASE | re.DOTALL,
)
_UID = re.compile(r"[0-9A-Za-z-]{1,64}")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_SAID = frozenset({"annotation-invalid", "annotation-closes-route", "annotation-refused"})
_ANNOTATIONS = FieldPath("metadata.annotations")


def is_refused(ingress: Ingress, key: ObjectKey, findings: Findings) -> bool:
    """Whether nothing of the Ingress may be used; its owner is told why."""
    if ingress.metadata.uid and not _UID.fullmatch(ingress.metadata.uid):
        message = "Its uid holds more than a uid of Kubernetes does."
        findings.error("object-unreadable", key, FieldPath("metadata.uid"), message, Effect.OBJECT_IGNORED)
        return True
    found = next(((where, text) for where, text in _texts(ingress) if _FORBIDDEN.search(text)), None)
    if found is not None:
        where, text = found
        message = f"{text[:80]!r} looks like an attempt to reach files of the controller."
        findings.error("ingress-forbidden-text", key, where, message, Effect.OBJECT_IGNORED)
        return True
    paths = sum(max(len(rule.http.paths) if rule.http else 0, 1) for rule in ingress.spec.rules)
    if paths > MOST_PATHS:
        message = f"It has {paths} hosts and paths, more than {MOST_PATHS}."
        findings.error("ingress-too-large", key, FieldPath("spec.rules"), message, Effect.OBJECT_IGNORED)
        return True
    _tell_of_tls_hosts(ingress, key, findings)
    return False


def restrained(
    policy: IngressPolicy, ingress: Ingress, key: ObjectKey, main: MainSettings, options: Options, findings: Findings
) -> IngressPolicy:
    """The policy, closed and without a say about its hosts where an annotation is one that the operator forbids."""
    prefix = f"{options.annotations_prefix}/"
    named = {k: v for k, v in (ingress.metadata.annotations or {}).items() if k.startswith(prefix) and v.strip()}
    _tell_of_control_characters(named, key, findings)
    faults = [*_risky(named, prefix, main), *_blocked(named, main)]
    for code, annotation, message in faults:
        message = f"{message} The paths of this Ingress answer 503."
        findings.error(code, key, _ANNOTATIONS.key(annotation), message, Effect.PATH_UNSERVED)
    return replace(policy, closed=True, servers=()) if faults else policy


def _texts(ingress: Ingress) -> Iterator[tuple[FieldPath, str]]:
    for position, rule in enumerate(ingress.spec.rules):
        where = FieldPath("spec.rules").index(position)
        yield where.child("host"), rule.host
        for index, path in enumerate(rule.http.paths if rule.http else ()):
            yield where.child("http.paths").index(index).child("path"), path.path
    for position, section in enumerate(ingress.spec.tls):
        where = FieldPath("spec.tls").index(position)
        yield where.child("secretName"), section.secret_name
        for index, host in enumerate(section.hosts):
            yield where.child("hosts").index(index), host


def _tell_of_tls_hosts(ingress: Ingress, key: ObjectKey, findings: Findings) -> None:
    for position, section in enumerate(ingress.spec.tls):
        for index, host in enumerate(section.hosts):
            try:
                normalise_host(host)
            except ValueError as reason:
                where = FieldPath("spec.tls").index(position).child("hosts").index(index)
                message = f"{host[:80]!r} is left out: {reason}."
                findings.warning("tls-invalid", key, where, message, Effect.SETTING_IGNORED)


def _risky(named: Mapping[str, str], prefix: str, main: MainSettings) -> Iterator[tuple[str, str, str]]:
    level = level_of(main.annotations_risk_level)
    for annotation in sorted(named):
        risk = risk_of(annotation.removeprefix(prefix))
        if risk > level and risk.name != "CRITICAL":  # those are never taken anyhow, and told as such
            message = (
                f"Its risk is {risk.name.capitalize()}, and the operator allows {level.name.capitalize()} at most."
            )
            yield "annotation-too-risky", annotation, message


def _blocked(named: Mapping[str, str], main: MainSettings) -> Iterator[tuple[str, str, str]]:
    for annotation, text in sorted(named.items()):
        word = next((word for word in main.annotation_value_word_blocklist if word in text), None)
        if word is not None:
            yield "annotation-word-blocked", annotation, f"The operator allows no value with {word!r} in it."


def _tell_of_control_characters(named: Mapping[str, str], key: ObjectKey, findings: Findings) -> None:
    for annotation in sorted(name for name, text in named.items() if _CONTROL.search(text.strip())):
        where = _ANNOTATIONS.key(annotation)
        if not any(said.object == key and said.field == where and said.code in _SAID for said in findings.items):
            message = "It holds a control character, so it has no effect."
            findings.warning("annotation-invalid", key, where, message, Effect.SETTING_IGNORED)
