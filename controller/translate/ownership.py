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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.model.configuration import CATCH_ALL
from controller.model.diagnostics import Effect
from controller.model.features.client_certificates import ClientCertificates
from controller.model.options import HostOwnership, Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.state.snapshot import Snapshot
from controller.translate.annotations.annotation import OUR_PREFIX
from controller.translate.claims import HostClaims, Source
from controller.translate.findings import Findings
from controller.translate.hosts import wildcard_of

DECLARES = f"{OUR_PREFIX}hosts"
EVERY_HOST = "*"


@dataclass(slots=True)
class Ownership:
    """Decides for one build. `_first`: hosts in use so far, each with its owner's namespace."""

    snapshot: Snapshot
    options: Options
    findings: Findings
    _first: dict[str, str] = field(default_factory=dict)
    _below: dict[str, set[str]] = field(default_factory=dict)

    def of_catch_all(self, sources: Sequence[Source]) -> Sequence[Source]:
        """The Ingresses without those that are nothing but a default backend and may not have the catch-all."""
        if self.options.host_ownership is HostOwnership.OFF:
            return sources
        return [source for source in sources if source.ingress.spec.rules or not self._refused(source, CATCH_ALL)]

    def keep(self, hosts: Mapping[str, HostClaims]) -> dict[str, HostClaims]:
        """The hosts, each with what may be on it. The catch-all is always there."""
        if self.options.host_ownership is not HostOwnership.OFF:
            hosts = self._owned(hosts)
        return {host: self._settled(claims) for host, claims in hosts.items()}

    # -- who may use a host

    def _owned(self, hosts: Mapping[str, HostClaims]) -> dict[str, HostClaims]:
        asking = sorted(
            ((source, host) for host, claims in hosts.items() for source in claims.sources),
            key=lambda pair: (pair[0].position, pair[1]),
        )
        refused = {(source.key, host) for source, host in asking if self._refused(source, host)}
        found = {}
        for host, claims in hosts.items():
            left = [source for source in claims.sources if (source.key, host) not in refused]
            if left or host == CATCH_ALL:
                kept = [claim for claim in claims.claims if (claim.source.key, host) not in refused]
                found[host] = HostClaims(host, left, kept)
        return found

    def _refused(self, source: Source, host: str) -> bool:
        """Oldest Ingress first: whoever is not refused has the host."""
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
        found = self.snapshot.namespaces.get(ObjectKey(Kind.NAMESPACE, "", namespace))
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
        return self.options.host_ownership is HostOwnership.OFF or self._reason(namespace, host) is None

    # -- settings of the whole host

    def _settled(self, claims: HostClaims) -> HostClaims:
        if not claims.sources or not any(_foreign(source, claims) for source in claims.sources):
            return claims
        by_key = {s.key: self._without_say(s, claims) if _foreign(s, claims) else s for s in claims.sources}
        return HostClaims(
            claims.host,
            [by_key[source.key] for source in claims.sources],
            [replace(claim, source=by_key[claim.source.key]) for claim in claims.claims],
        )

    def _without_say(self, source: Source, claims: HostClaims) -> Source:
        owner = claims.sources[0].key
        self.findings.warning(
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
