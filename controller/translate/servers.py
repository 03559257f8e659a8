"""Hosts become servers: locations, the fallback for what nothing matches, and TLS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.model.configuration import CATCH_ALL, Location, MatchKind, PathMatch, Return, Server
from controller.model.diagnostics import Effect
from controller.model.features import LocationFeature, ServerFeature
from controller.model.policy import LocationPolicy, Protocol
from controller.model.refs import FieldPath, RuleRef
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.backends import Target, Upstreams
from controller.translate.certificates import Certificates
from controller.translate.claims import HostClaims, Source
from controller.translate.dialects import dialect_of
from controller.translate.findings import Findings
from controller.translate.locations import Locations

EVERYTHING = PathMatch(MatchKind.PREFIX, "/")
_ROOTS = (EVERYTHING, PathMatch(MatchKind.REGEX, "/"))
NOT_FOUND = Location(EVERYTHING, Return(404), None)


@dataclass(slots=True)
class Servers:
    """Builds one server after the other."""

    locations: Locations
    upstreams: Upstreams
    certificates: Certificates
    findings: Findings
    default_target: Target | None
    everyones: tuple[LocationFeature, ...] = ()
    """What the default backend has where no Ingress has a word."""

    def of(self, claims: HostClaims, *, below_tls: bool, defaults: Sequence[Source] = ()) -> Server:
        """The server of one host. `below_tls`: its wildcard host has a tls section. `defaults`: for the catch-all,
        the Ingresses that are nothing but a default backend, oldest first."""
        own = self.certificates.tls_of(claims.host, [source.ingress for source in claims.sources])
        # Only a named host can redirect for its certificate: the catch-all's requests name hosts that have none.
        enabled = claims.host != CATCH_ALL and (own.enabled or below_tls)
        regex = self.locations.is_regex(claims)
        locations = self.locations.of_host(claims, tls=enabled, regex=regex)
        if claims.host == CATCH_ALL:
            fallback, locations = self._catch_all_fallback(claims, locations, defaults)
        else:
            fallback = self._fallback(claims.sources[0], tls=enabled)
        return Server(
            host=claims.host,
            locations=locations,
            fallback=fallback,
            tls=enabled,
            certificate=own.certificate,
            regex=regex,
            origins=tuple(dict.fromkeys(source.key for source in claims.sources)),
            features=_server_features(claims.sources),
        )

    def _fallback(self, creator: Source, *, tls: bool) -> Location:
        """The default of a host: the default backend of its oldest Ingress, else that of the controller."""
        backend = creator.ingress.spec.default_backend
        ref = RuleRef(creator.key, -1, -1)
        target = None
        if backend is not None:
            target = self.upstreams.target_of(
                backend, creator.key.namespace, creator.key, ref.field, dialect_of(creator.policy)
            )
        policy = self.locations.policy_of(creator.policy, "/", None, tls=tls)
        return self._fallback_to(target, ref, creator.policy, replace(policy, rewrite=None))

    def _fallback_to(
        self, target: Target | None, ref: RuleRef | None, policy: IngressPolicy, settings: LocationPolicy
    ) -> Location:
        chosen = target or self.default_target
        if chosen is None:
            return Location(EVERYTHING, Return(404), ref, settings)
        if target is None:
            settings = replace(settings, protocol=Protocol.HTTP)
        return Location(
            EVERYTHING,
            self.locations.action_of(chosen, policy if target else IngressPolicy()),
            ref,
            settings,
            chosen.service,
            chosen.port,
        )

    def _catch_all_fallback(
        self, claims: HostClaims, locations: tuple[Location, ...], defaults: Sequence[Source]
    ) -> tuple[Location, tuple[Location, ...]]:
        """An Ingress that is nothing but a default backend takes `/` before any rule without a host."""
        ruleless = self._ruleless_default(defaults)
        if ruleless is not None:
            root = next((loc for loc in locations if loc.match in _ROOTS and loc.origin), None)
            if root is not None and root.origin and ruleless.origin:
                self._tell_root_taken(root.origin, ruleless.origin)
            return ruleless, tuple(loc for loc in locations if loc is not root)
        for source in claims.sources:
            if source.ingress.spec.default_backend is not None:
                return self._fallback(source, tls=False), locations
        if self.default_target is None:
            return NOT_FOUND, locations
        settings = replace(NOT_FOUND.policy, features=self.everyones)
        return self._fallback_to(None, None, IngressPolicy(), settings), locations

    def _ruleless_default(self, defaults: Sequence[Source]) -> Location | None:
        found: Location | None = None
        for source in defaults:
            backend = source.ingress.spec.default_backend
            if backend is None or source.policy.canary:
                continue
            ref = RuleRef(source.key, -1, -1)
            if found is not None and found.origin is not None:
                self._tell_default_taken(ref, found.origin)
                continue
            target = self.upstreams.target_of(
                backend, source.key.namespace, source.key, ref.field, dialect_of(source.policy)
            )
            if target is None:
                continue
            policy = replace(self.locations.policy_of(source.policy, "/", None, tls=False), rewrite=None)
            features = tuple(feature for feature in policy.features if feature.for_default_backend)
            policy = replace(policy, https_redirect=NOT_FOUND.policy.https_redirect, features=features)
            action = self.locations.action_of(target, source.policy)
            found = Location(EVERYTHING, action, ref, policy, target.service, target.port)
        return found

    def _tell_default_taken(self, loser: RuleRef, owner: RuleRef) -> None:
        self.findings.warning(
            "default-backend-taken",
            loser.ingress,
            FieldPath("spec.defaultBackend"),
            f"{owner.ingress} already gives the default backend of the catch-all.",
            Effect.PATH_UNSERVED,
            related=(owner.ingress,),
        )

    def _tell_root_taken(self, loser: RuleRef, owner: RuleRef) -> None:
        self.findings.warning(
            "path-taken",
            loser.ingress,
            loser.field.child("path"),
            f"{owner.ingress} is a default backend without rules and takes / of the catch-all.",
            Effect.PATH_UNSERVED,
            related=(owner.ingress,),
        )


def _server_features(sources: Sequence[Source]) -> tuple[ServerFeature, ...]:
    """The first of each type, oldest Ingress first."""
    found: dict[type[ServerFeature], ServerFeature] = {}
    for source in sources:
        for feature in source.policy.servers:
            found.setdefault(type(feature), feature)
    return tuple(found.values())
