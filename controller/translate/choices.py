"""Locations with more than one upstream: those whose clients stay at their pods, and those with a canary.

nginx looks for the pod that a cookie names in one upstream, and hands out cookies in another (`Stickiness`), so that an
answer carries a cookie only where one is due. Nothing here names a pod: pods come and go without a new configuration.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from urllib.parse import quote

from controller.model.configuration import MatchKind, PathMatch, ProxyPass, ServicePortRef
from controller.model.features import LocationFeature
from controller.model.features.balancing import Affinity, Canary, Stickiness, Sticks
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.backends import Dialect, Target, Upstreams
from controller.translate.canaries import tell_inert
from controller.translate.claims import Claim
from controller.translate.dialects import dialect_of
from controller.translate.findings import Findings

_OF_PATHS = "/~!$&'()*+=:@"
"""What a path of a cookie may hold beside letters, digits and - . _ (RFC 6265, 4.1.1: no semicolon)."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Finds the upstreams of a path, and tells the location how to choose among them."""

    upstreams: Upstreams
    findings: Findings

    def of(
        self, claim: Claim, match: PathMatch, canary: Claim | None
    ) -> tuple[Target | None, tuple[LocationFeature, ...]]:
        """The target that stands for the location, and what chooses where there are others."""
        policy = claim.source.policy
        target, stickiness = self._stuck(claim, policy, policy.affinity, cookie_path(match))
        found: list[LocationFeature] = [stickiness] if stickiness else []
        if canary is not None and target is not None and isinstance(target.action, ProxyPass):
            sharing = self._canary(claim, canary, target.action, match)
            found += [sharing] if sharing else []
        return target, tuple(found)

    def _canary(self, main: Claim, claim: Claim, shared: ProxyPass, match: PathMatch) -> Canary | None:
        own, rules = claim.source.policy, claim.source.policy.canary
        backend = claim.backend.service
        namespace = claim.source.key.namespace
        if rules is None or backend is None or not self.upstreams.exists(namespace, backend.name):
            where = claim.ref.field.child("backend")
            tell_inert(claim.source, where, "Its backend is no Service that exists.", self.findings)
            return None
        served = self.upstreams.used[shared.upstream]
        otherwise = ServicePortRef(served.service, served.dns_port)
        binding = main.source.policy.affinity if rules.sticky else None
        policy = replace(main.source.policy, balancing=own.balancing, through_service=own.through_service)
        mark = f"c{_digest(namespace, claim.backend)[:8]}" if binding else ""
        target, stickiness = self._stuck(
            claim, policy, binding or own.affinity, cookie_path(match), mark=mark, otherwise=otherwise
        )
        if target is None or not isinstance(target.action, ProxyPass):
            return None
        return Canary(
            rules,
            target.action.upstream,
            namespace,
            claim.source.key.name,
            target.service,
            target.port,
            self.upstreams.used[target.action.upstream].dns_port,
            otherwise=f"{otherwise.dns_port}.{otherwise.service.name}.{otherwise.service.namespace}",
            binding=binding.name if binding else "",
            mark=mark,
            stickiness=stickiness,
        )

    def _stuck(
        self,
        claim: Claim,
        policy: IngressPolicy,
        affinity: Affinity | None,
        path: str,
        *,
        mark: str = "",
        otherwise: ServicePortRef | None = None,
    ) -> tuple[Target | None, Stickiness | None]:
        """A target, and how clients stick to its pods."""
        if affinity is None:
            return self._target(claim, _standing_in(dialect_of(policy), otherwise)), None
        plain = _standing_in(dialect_of(policy, balanced=False), otherwise)

        def upstream(sticks: Sticks) -> Target | None:
            dialect = plain._replace(suffix=plain.tagged(f"sticky-{_digest(sticks)}"), sticks=sticks)
            return self._target(claim, dialect)

        giving = Sticks(affinity, mark, gives=True, path=affinity.path or path, secure=affinity.secure)
        new = upstream(giving)
        if new is None or not isinstance(new.action, ProxyPass):
            return new, None
        secure = upstream(replace(giving, secure=True))
        known = None if affinity.renewed else upstream(Sticks(Affinity(affinity.name), mark))
        return known or new, Stickiness(affinity.name, mark, _id(known), _id(new), _id(secure))

    def _target(self, claim: Claim, dialect: Dialect) -> Target | None:
        owner = claim.source.key
        return self.upstreams.target_of(
            claim.backend, owner.namespace, owner, claim.ref.field.child("backend"), dialect
        )


def cookie_path(match: PathMatch) -> str:
    """A browser compares the path of a cookie with that of its requests, so an expression would never fit."""
    return "/" if match.kind is MatchKind.REGEX else quote(match.path, safe=_OF_PATHS)


def _standing_in(dialect: Dialect, otherwise: ServicePortRef | None) -> Dialect:
    if otherwise is None:
        return dialect
    return dialect._replace(suffix=dialect.tagged(f"or-{_digest(otherwise)}"), otherwise=otherwise)


def _id(target: Target | None) -> str:
    return target.action.upstream if target and isinstance(target.action, ProxyPass) else ""


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]
