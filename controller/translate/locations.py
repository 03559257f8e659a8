"""Paths of one host become locations: who owns a path, what it matches, and in which order.

Normal hosts: exact beats prefix, the longest prefix wins, age plays no part. Regex hosts: every path is a regular
expression, longest text first, ties in descending alphabetical order, first match wins (routing, "Paths").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from controller.model.configuration import (
    Action,
    Location,
    MainSettings,
    MatchKind,
    PathMatch,
    ProxyPass,
    Return,
)
from controller.model.diagnostics import Effect
from controller.model.features import LocationFeature
from controller.model.features.authentication import Authentication
from controller.model.policy import HttpsRedirect, LocationPolicy, Rewrite
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.backends import UNAVAILABLE, Target, Upstreams
from controller.translate.backtracking import check_backtracking
from controller.translate.canaries import Canaries
from controller.translate.choices import Choices
from controller.translate.claims import Claim, HostClaims
from controller.translate.configmap import GLOBAL_AUTH
from controller.translate.dialects import dialect_of
from controller.translate.findings import Findings
from controller.translate.paths import check_regex, groups_of, implementation_path, literal_path

K = TypeVar("K")


class Fault(NamedTuple):
    """Why a path is not served; `code` is the diagnostic's."""

    code: str
    reason: str


@dataclass(slots=True)
class Locations:
    """Builds the locations of one host after the other. `closing`: keys of the ConfigMap that close routes."""

    main: MainSettings
    upstreams: Upstreams
    findings: Findings
    closing: tuple[str, ...] = ()

    def is_regex(self, host: HostClaims) -> bool:
        """One regular expression makes every path of the host one (a quirk that production relies on).

        Only what becomes a location counts: no path that is refused, that an older Ingress has, or without a Service.
        """
        if not any(claim.own_regex for claim in host.claims):
            return False
        owners: dict[tuple[str, str], Claim] = {}
        for claim in host.claims:
            fault = self._regex_fault(claim) if claim.own_regex else self._literal_fault(claim)
            if fault is None and claim.backend.service is not None:
                owners.setdefault(_regex_key(claim), claim)
        return any(claim.own_regex for claim in owners.values())

    def of_host(self, host: HostClaims, *, tls: bool, regex: bool) -> tuple[Location, ...]:
        """Locations in the order nginx shall try them; the order matters on regex hosts only."""
        served = replace(host, claims=[claim for claim in host.claims if self._has_service(claim)])
        built = self._regex(served, tls) if regex else self._normal(served, tls)
        return tuple(built)

    def _has_service(self, claim: Claim) -> bool:
        """A path whose backend is no Service is not created, so it keeps nobody else's away."""
        if claim.backend.service is None:
            self._target(claim)
        return claim.backend.service is not None

    def action_of(self, target: Target, policy: IngressPolicy) -> Action:
        """The target, unless a protection of its Ingress or of all routes is missing: then 503."""
        missing = [key for key in self.closing if key not in GLOBAL_AUTH or policy.global_auth]
        if missing or policy.closed:
            return UNAVAILABLE
        return Return(403) if policy.forbidden else target.action

    def policy_of(self, policy: IngressPolicy, path: str, rewrite: Rewrite | None, *, tls: bool) -> LocationPolicy:
        exempt = any(path.startswith(prefix) for prefix in self.main.no_tls_redirect_locations)
        redirect = not exempt and (policy.force_ssl_redirect or (policy.ssl_redirect and tls))
        return LocationPolicy(
            https_redirect=HttpsRedirect.ALWAYS if redirect else HttpsRedirect.NEVER,
            preserve_trailing_slash=policy.preserve_trailing_slash,
            rewrite=rewrite,
            access_log=policy.access_log,
            hold=policy.hold and not policy.through_service,
            protocol=policy.protocol,
            features=() if policy.closed else self._features(policy, path),
        )

    def _features(self, policy: IngressPolicy, path: str) -> tuple[LocationFeature, ...]:
        if not path.startswith(self.main.no_auth_locations):
            return policy.locations
        return tuple(feature for feature in policy.locations if not isinstance(feature, Authentication))

    # -- normal hosts

    def _normal(self, host: HostClaims, tls: bool) -> list[Location]:
        owners: dict[PathMatch, Claim] = {}
        for claim in host.claims:
            match = self._literal_match(claim)
            if match is not None and self._owns(owners, match, claim, host):
                owners[match] = claim
        canaries = self._canaries.paired(host.canaries, owners, self._literal_match)
        found = [
            self._location(match, claim, None, tls, canaries.get(match)) for match, claim in sorted(owners.items())
        ]
        return [location for location in found if location is not None]

    def _literal_match(self, claim: Claim) -> PathMatch | None:
        fault = self._regex_fault(claim) if claim.own_regex else self._literal_fault(claim)
        if fault is not None:
            self._tell_invalid(fault, claim)
            return None
        if claim.path_type == "ImplementationSpecific":
            text = _decoded_or_raw(claim.path)
        else:
            text = literal_path(claim.path, strict=self.main.strict_validate_path_type)
        if claim.path_type == "Exact":
            return PathMatch(MatchKind.EXACT, text)
        return PathMatch(MatchKind.PREFIX, text.rstrip("/") or "/")

    def _literal_fault(self, claim: Claim) -> Fault | None:
        try:
            if claim.path_type == "ImplementationSpecific":
                implementation_path(claim.path)
            else:
                literal_path(claim.path, strict=self.main.strict_validate_path_type)
        except ValueError as reason:
            return Fault("path-invalid", str(reason))
        return None

    # -- regex hosts

    def _regex(self, host: HostClaims, tls: bool) -> list[Location]:
        owners: dict[tuple[str, str], Claim] = {}
        for claim in host.claims:
            fault = self._regex_fault(claim)
            if fault is not None:
                self._tell_invalid(fault, claim)
            elif self._owns(owners, _regex_key(claim), claim, host):
                owners[_regex_key(claim)] = claim
        self._tell_became_regex(owners.values(), host)
        canaries = self._canaries.paired(host.canaries, owners, _regex_key)
        drafts = [(pattern, claim) for claim in owners.values() for pattern in _patterns(claim)]
        drafts.sort(key=lambda draft: draft[0], reverse=True)
        drafts.sort(key=lambda draft: len(draft[0]), reverse=True)
        found = [
            self._location(
                PathMatch(MatchKind.REGEX, pattern), claim, self._rewrite(claim), tls, canaries.get(_regex_key(claim))
            )
            for pattern, claim in drafts
        ]
        return [location for location in found if location is not None]

    def _regex_fault(self, claim: Claim) -> Fault | None:
        fault = self._literal_fault(claim)
        if fault is not None:
            return fault
        try:
            check_regex(claim.path)
        except ValueError as reason:
            return Fault("path-regex-invalid", str(reason))
        try:
            check_backtracking(claim.path)
        except ValueError as reason:
            return Fault("path-regex-unsafe", str(reason))
        return None

    def _rewrite(self, claim: Claim) -> Rewrite | None:
        target = claim.source.policy.rewrite_target
        if not target or target == claim.path:
            return None
        available = groups_of(claim.path)
        for group in range(available + 1, 10):
            target = target.replace(f"${group}", "")  # a missing group is empty, as PCRE has it
        return Rewrite(claim.path, target)

    # -- both

    def _location(
        self, match: PathMatch, claim: Claim, rewrite: Rewrite | None, tls: bool, canary: Claim | None
    ) -> Location | None:
        source = claim.source
        target, choosing = Choices(self.upstreams, self.findings).of(claim, match, canary)
        if target is None:
            return None
        action = self.action_of(target, source.policy)
        policy = self.policy_of(source.policy, claim.path, rewrite, tls=tls)
        if isinstance(action, ProxyPass):
            policy = replace(policy, features=(*choosing, *policy.features))
        return Location(
            match,
            action,
            claim.ref,
            policy,
            target.service,
            target.port,
        )

    def _target(self, claim: Claim) -> Target | None:
        owner = claim.source.key
        where = claim.ref.field.child("backend")
        return self.upstreams.target_of(claim.backend, owner.namespace, owner, where, dialect_of(claim.source.policy))

    @property
    def _canaries(self) -> Canaries:
        return Canaries(self.findings, self.upstreams.options.allow_cross_namespace_canaries)

    def _owns(self, owners: Mapping[K, Claim], key: K, claim: Claim, host: HostClaims) -> bool:
        """Whether nobody came before. The loser is told, unless it only repeats its own line."""
        owner = owners.get(key)
        if owner is None:
            return True
        if owner.source is claim.source and owner.backend == claim.backend:
            return False
        self.findings.warning(
            "path-taken",
            claim.source.key,
            claim.ref.field.child("path"),
            f"{owner.source.key} ({owner.ref.field}) already has {claim.path_type} {claim.path[:80]!r} on "
            f"{host.host or 'the catch-all'}.",
            Effect.PATH_UNSERVED,
            related=(owner.source.key,),
        )
        return False

    def _tell_invalid(self, fault: Fault, claim: Claim) -> None:
        shown = claim.path if len(claim.path) <= 80 else claim.path[:77] + "..."
        self.findings.error(
            fault.code,
            claim.source.key,
            claim.ref.field.child("path"),
            f"{shown!r} cannot be served: {fault.reason}.",
            Effect.PATH_UNSERVED,
        )

    def _tell_became_regex(self, claims: Iterable[Claim], host: HostClaims) -> None:
        """Once for each Ingress, at the first of its paths that are no expressions by themselves."""
        cause = next(claim.source.key for claim in claims if claim.own_regex)
        first = {claim.source.key: claim for claim in reversed(tuple(claims)) if not claim.own_regex}
        for claim in first.values():
            self.findings.warning(
                "path-became-regex",
                claim.source.key,
                claim.ref.field.child("path"),
                f"{cause} makes every path of {host.host or 'the catch-all'} a regular expression.",
                Effect.NONE,
                related=(cause,),
            )


def _regex_key(claim: Claim) -> tuple[str, str]:
    return ("Exact" if claim.path_type == "Exact" else "Prefix", claim.path)


def _patterns(claim: Claim) -> tuple[str, ...]:
    """A plain Prefix of an Ingress without regular expressions stands there twice, as the old controller had it."""
    if claim.path_type == "Exact" or claim.path == "/" or claim.own_regex:
        return (claim.path,)
    bare = claim.path.rstrip("/")
    return (bare + "/", bare)


def _decoded_or_raw(path: str) -> str:
    try:
        return literal_path(path, strict=False)
    except ValueError:
        return path
