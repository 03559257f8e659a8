"""The annotations of one Ingress as a typed policy, with a finding for every one that is not carried out as written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.k8s.ingress import Ingress
from controller.model.configuration import MainSettings
from controller.model.diagnostics import Effect
from controller.model.features import LocationFeature, ServerFeature
from controller.model.features.balancing import IN_TURN, Affinity, Balancing, CanaryRules
from controller.model.policy import Protocol
from controller.model.refs import ObjectKey
from controller.translate.annotations import registry, values
from controller.translate.annotations.annotation import OUR_PREFIX, Annotation
from controller.translate.annotations.families import (
    affinity,
    balancing,
    canary,
    client_certificates,
    external_auth,
    protocols,
)
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.registry import FAMILIES, OUR_ANNOTATIONS, VERDICTS, Verdict
from controller.translate.findings import Findings
from controller.translate.resources import Resources


@dataclass(frozen=True, slots=True)
class IngressPolicy:
    """What the annotations of one Ingress ask for. Of a canary's only those about canaries and balancing count.

    `closed`: its paths answer 503, because a protection is missing. `forbidden`: they answer 403, because clients
    cannot be asked for certificates. `global_auth`: `global-auth-url` is for it too.
    `locations`, `servers`: the features that its locations and its hosts get.
    """

    use_regex: bool = False
    rewrite_target: str = ""
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    preserve_trailing_slash: bool = False
    access_log: bool = True
    hold: bool = True
    canary: CanaryRules | None = None
    affinity: Affinity | None = None
    balancing: Balancing = IN_TURN
    through_service: bool = False
    global_auth: bool = True
    closed: bool = False
    protocol: Protocol = Protocol.HTTP
    forbidden: bool = False
    locations: tuple[LocationFeature, ...] = ()
    servers: tuple[ServerFeature, ...] = ()


def policy_of(
    ingress: Ingress, key: ObjectKey, main: MainSettings, resources: Resources, findings: Findings
) -> IngressPolicy:
    """Reads every annotation of the Ingress once."""
    reader = Reader(ingress, key, main, resources, findings)
    rules = canary.of_ingress(reader)
    if rules is not None:
        return _canary(reader, rules)
    features = tuple(feature for family in FAMILIES for feature in family.read(reader))
    closed = _report_the_rest(reader)
    return IngressPolicy(
        use_regex=reader.value(registry.USE_REGEX, False),
        rewrite_target=reader.value(registry.REWRITE_TARGET, ""),
        ssl_redirect=reader.value(registry.SSL_REDIRECT, main.ssl_redirect),
        force_ssl_redirect=reader.value(registry.FORCE_SSL_REDIRECT, main.force_ssl_redirect),
        preserve_trailing_slash=reader.value(registry.PRESERVE_TRAILING_SLASH, main.preserve_trailing_slash),
        access_log=reader.value(registry.ENABLE_ACCESS_LOG, True),
        hold=reader.value(registry.HOLD, True),
        affinity=affinity.of_ingress(reader),
        balancing=balancing.of_ingress(reader),
        through_service=balancing.through_service(reader),
        global_auth=external_auth.is_for(reader),
        closed=closed or reader.closed,
        protocol=protocols.of_ingress(reader),
        forbidden=client_certificates.BROKEN in features,
        locations=tuple(f for f in features if isinstance(f, LocationFeature)),
        servers=tuple(f for f in features if isinstance(f, ServerFeature)),
    )


def _canary(reader: Reader, rules: CanaryRules) -> IngressPolicy:
    """Everything else comes from the Ingress whose requests it shares, protections too, and so needs no finding."""
    _report_the_rest(reader, frozenset({Verdict.CLOSES, Verdict.UNSUPPORTED}))
    return IngressPolicy(
        canary=rules,
        affinity=affinity.of_ingress(reader),
        balancing=balancing.of_ingress(reader),
        through_service=balancing.through_service(reader),
    )


def _report_the_rest(reader: Reader, untold: frozenset[Verdict] = frozenset()) -> bool:
    """Findings for what is not carried out. True where one of them closes the paths of the Ingress."""
    closed = False
    obsolete = []
    for name, text in sorted(reader.named.items()):
        verdict = VERDICTS.get(name)
        where = Annotation(name, values.boolean)
        if not text or registry.HARMLESS.get(name) == text.lower() or verdict in untold:
            continue
        if verdict is None:
            _unknown(reader, where, VERDICTS, reader.prefix)
        elif verdict is Verdict.CLOSES:
            closed |= _closes(reader, where)
        elif verdict is Verdict.OBSOLETE:
            obsolete.append(where)
        elif verdict in (Verdict.REFUSED, Verdict.UNSUPPORTED):
            told = registry.UNSUPPORTED_TOLD.get(name, registry.TOLD[verdict])
            reader.warn(where, told, registry.INSTEAD.get(name, ""), code=f"annotation-{verdict}")
    _obsolete(reader, obsolete)
    for name in sorted(reader.ours.keys() - OUR_ANNOTATIONS):
        _unknown(reader, Annotation(name, values.boolean, ours=True), OUR_ANNOTATIONS, OUR_PREFIX)
    return closed


def _obsolete(reader: Reader, found: Sequence[Annotation[bool]]) -> None:
    """One finding for all of them: a chart brings such annotations in dozens."""
    if found:
        others = ", ".join(annotation.name for annotation in found[1:])
        told = registry.TOLD[Verdict.OBSOLETE] + (f" The same holds for {others}." if others else "")
        hints = dict.fromkeys(registry.INSTEAD[each.name] for each in found if each.name in registry.INSTEAD)
        reader.warn(found[0], told, " ".join(hints), code="annotation-obsolete")


def _unknown(reader: Reader, where: Annotation[bool], known: Iterable[str], prefix: str) -> None:
    near = registry.nearest_name(where.name, known)
    hint = f"Did you mean {prefix}{near}?" if near else ""
    reader.warn(where, registry.UNKNOWN_TOLD, hint, code="annotation-unknown")


def _closes(reader: Reader, where: Annotation[bool]) -> bool:
    if where.name in registry.FIREWALL and reader.main.allow_missing_waf:
        reader.warn(where, registry.TOLD[Verdict.UNSUPPORTED], code="annotation-unsupported")
        return False
    reader.error(where, registry.TOLD[Verdict.CLOSES], Effect.PATH_UNSERVED, code="annotation-closes-route")
    return True
