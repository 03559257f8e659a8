"""Whose a host is. Two namespaces may name the same host; what one of them writes must not change what the other has.

Always: settings of a whole host (aliases, app-root, client certificates and the like) count only from the namespace of
the host's oldest Ingress, its owner.

`--host-ownership=first-come`: only the owner may have paths on the host. A wildcard is refused where another namespace
has a host below it, and a host where another one has its wildcard. `declared`: the annotation `headrace.dev/hosts` of
the Namespace object, which teams cannot write, lists the hosts of the namespace: `shop.example.com`, `*.example.com`
(that wildcard, and every name below), `*` for all. In both, the catch-all (rules without a host, default backends of
the controller as a whole) is for namespaces whose annotation has `*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from controller.model.configuration import CATCH_ALL
from controller.model.diagnostics import Effect
from controller.model.features.client_certificates import ClientCertificates
from controller.model.options import HostOwnership, Options
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.annotations.annotation import OUR_PREFIX
from controller.translate.claims import HostClaims, Source
from controller.translate.findings import Findings
from controller.translate.hosts import wildcard_of
from controller.translate.view import View

DECLARES = f"{OUR_PREFIX}hosts"
EVERY_HOST = "*"


Refused = frozenset[tuple[ObjectKey, str]]
"""Ingresses, each with a host that it may not have."""


@dataclass(slots=True)
class Ownership:
    """Decides who may use a host. `_first`: hosts in use so far, each with its owner's namespace."""

    view: View
    options: Options
    findings: Findings
    _first: dict[str, str] = field(default_factory=dict)
    _below: dict[str, set[str]] = field(default_factory=dict)

    @property
    def decides(self) -> bool:
        return self.options.host_ownership is not HostOwnership.OFF

    def refused(self, asking: Iterable[tuple[Source, Iterable[str]]]) -> Refused:
        """`asking`: all Ingresses, oldest first, each with its hosts. Whoever is not refused has the host.

        An Ingress without rules asks for the catch-all; a canary asks for nothing.
        """
        wanted = [(source, host) for source, hosts in asking for host in _asked_for(source, hosts)]
        return frozenset((source.key, host) for source, host in wanted if self._refused(source, host))

    def _refused(self, source: Source, host: str) -> bool:
        reason = self._reason(source.key.namespace, host)
        if reason is None:
            self._first.setdefault(host, source.key.namespace)
            self._below.setdefault(wildcard_of(host), set()).add(source.key.namespace)
            return False
        self._tell(source, host, reason)
        return True

    def _reason(self, namespace: str, host: str) -> str | None:
        declared = self._declared(namespace)
        if EVERY_HOST in declared and host == CATCH_ALL:
            return None
        if host == CATCH_ALL:
            return f"the catch-all is for namespaces whose annotation {DECLARES} has {EVERY_HOST!r}"
        if self.options.host_ownership is HostOwnership.DECLARED:
            return None if _covers(declared, host) else f"the annotation {DECLARES} of the namespace does not list it"
        others = {self._first.get(host), self._first.get(wildcard_of(host))}
        if host.startswith("*."):
            others = {self._first.get(host), *self._below.get(host, ())}
        other = next(iter(sorted(name for name in others if name and name != namespace)), None)
        return f"it belongs to the namespace {other!r}, which used it first" if other else None

    def _declared(self, namespace: str) -> frozenset[str]:
        found = self.view.namespace(namespace)
        text = (found.metadata.annotations or {}).get(DECLARES, "") if found else ""
        return frozenset(item.strip().lower() for item in text.split(",") if item.strip())

    def _tell(self, source: Source, host: str, reason: str) -> None:
        for position, rule in enumerate(source.ingress.spec.rules):
            if rule.host.lower().removesuffix(".") == host:
                where = FieldPath("spec.rules").index(position).child("host")
                break
        else:
            where = FieldPath("spec.defaultBackend") if host == CATCH_ALL else FieldPath("spec.rules")
        named = host or "The catch-all"
        message = f"{named} cannot be used from here: {reason}."
        self.findings.error("host-owned", source.key, where, message, Effect.HOST_UNSERVED)

    def may_use(self, namespace: str, host: str) -> bool:
        """Whether a further name (an alias) of a host of this namespace is free for it."""
        return not self.decides or self._reason(namespace, host) is None


def _asked_for(source: Source, hosts: Iterable[str]) -> Iterable[str]:
    if source.is_default_alone:
        return (CATCH_ALL,)
    return () if source.policy.canary else sorted(hosts)


# -- settings of the whole host


def settle_settings(claims: HostClaims, findings: Findings) -> None:
    """Takes the say over the whole host from Ingresses of other namespaces than the owner's."""
    if any(_foreign(source, claims) for source in claims.sources):
        by_key = {s.key: _without_say(s, claims, findings) if _foreign(s, claims) else s for s in claims.sources}
        claims.sources = [by_key[source.key] for source in claims.sources]
        claims.claims = [replace(claim, source=by_key[claim.source.key]) for claim in claims.claims]


def _without_say(source: Source, claims: HostClaims, findings: Findings) -> Source:
    owner = claims.sources[0].key
    findings.warning(
        "host-settings-foreign",
        source.key,
        FieldPath("metadata.annotations"),
        f"{claims.host or 'The catch-all'} belongs to the namespace {owner.namespace!r}, so it does not get the "
        "settings that an Ingress of another one has for the whole host.",
        Effect.SETTING_IGNORED,
        related=(owner,),
    )
    asks = any(isinstance(feature, ClientCertificates) for feature in source.policy.servers)
    policy = replace(source.policy, servers=(), forbidden=source.policy.forbidden or asks)
    return replace(source, policy=policy)


def _foreign(source: Source, claims: HostClaims) -> bool:
    return bool(source.policy.servers) and source.key.namespace != claims.sources[0].key.namespace


def _covers(declared: Iterable[str], host: str) -> bool:
    return any(item in (EVERY_HOST, host) or (item.startswith("*.") and host.endswith(item[1:])) for item in declared)
