"""Paths of one host become locations: who owns a path, what it matches, and in which order.

Normal hosts: exact beats prefix, the longest prefix wins, age plays no part. Regex hosts: every path is a regular
expression, longest text first, ties in descending alphabetical order, first match wins (routing, "Paths").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from controller.model.configuration import Action, Location, MainSettings, MatchKind, PathMatch
from controller.model.diagnostics import Effect
from controller.model.policy import HttpsRedirect, LocationPolicy, Rewrite
from controller.model.refs import ObjectKey
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.backends import UNAVAILABLE, Target, Upstreams
from controller.translate.claims import Claim, HostClaims
from controller.translate.findings import Findings
from controller.translate.paths import check_regex, groups_of, implementation_path, literal_path

K = TypeVar("K")


@dataclass(slots=True)
class Locations:
    """Builds the locations of one host after the other."""

    main: MainSettings
    upstreams: Upstreams
    findings: Findings
    closed: bool = False

    def of_host(self, host: HostClaims, *, tls: bool) -> tuple[Location, ...]:
        """Locations in the order nginx shall try them; the order matters on regex hosts only."""
        built = self._regex(host, tls) if host.regex else self._normal(host, tls)
        return tuple(built)

    def action_of(self, target: Target, policy: IngressPolicy) -> Action:
        """The target, unless a protection is missing: then 503."""
        return UNAVAILABLE if self.closed or policy.closed else target.action

    def policy_of(self, policy: IngressPolicy, path: str, rewrite: Rewrite | None, *, tls: bool) -> LocationPolicy:
        exempt = any(path.startswith(prefix) for prefix in self.main.no_tls_redirect_locations)
        redirect = not exempt and (policy.force_ssl_redirect or (policy.ssl_redirect and tls))
        return LocationPolicy(
            https_redirect=HttpsRedirect.ALWAYS if redirect else HttpsRedirect.NEVER,
            preserve_trailing_slash=policy.preserve_trailing_slash,
            port_in_redirect=policy.port_in_redirect,
            rewrite=rewrite,
            access_log=policy.access_log,
            hold=policy.hold,
        )

    # -- normal hosts

    def _normal(self, host: HostClaims, tls: bool) -> list[Location]:
        owners: dict[PathMatch, Claim] = {}
        for claim in host.claims:
            match = self._literal_match(claim)
            if match is not None and self._owns(owners, match, claim, host):
                owners[match] = claim
        found = [self._location(match, claim, None, tls) for match, claim in sorted(owners.items())]
        return [location for location in found if location is not None]

    def _literal_match(self, claim: Claim) -> PathMatch | None:
        try:
            if claim.path_type == "ImplementationSpecific":
                text = _decoded_or_raw(implementation_path(claim.path))
            else:
                text = literal_path(claim.path, strict=self.main.strict_validate_path_type)
        except ValueError as reason:
            self._tell_invalid("path-invalid", claim, reason)
            return None
        if claim.path_type == "Exact":
            return PathMatch(MatchKind.EXACT, text)
        return PathMatch(MatchKind.PREFIX, text.rstrip("/") or "/")

    # -- regex hosts

    def _regex(self, host: HostClaims, tls: bool) -> list[Location]:
        owners: dict[tuple[str, str], Claim] = {}
        warned: set[ObjectKey] = set()
        for claim in host.claims:
            if not self._compiles(claim) or not self._owns(owners, _regex_key(claim), claim, host):
                continue
            owners[_regex_key(claim)] = claim
            if not claim.own_regex and claim.source.key not in warned:
                warned.add(claim.source.key)
                self._tell_became_regex(claim, host)
        drafts = [(pattern, claim) for claim in owners.values() for pattern in _patterns(claim)]
        drafts.sort(key=lambda draft: draft[0], reverse=True)
        drafts.sort(key=lambda draft: len(draft[0]), reverse=True)
        found = [
            self._location(PathMatch(MatchKind.REGEX, pattern), claim, self._rewrite(claim), tls)
            for pattern, claim in drafts
        ]
        return [location for location in found if location is not None]

    def _compiles(self, claim: Claim) -> bool:
        try:
            pattern = implementation_path(claim.path)
            if claim.path_type != "ImplementationSpecific":
                literal_path(claim.path, strict=self.main.strict_validate_path_type)
        except ValueError as reason:
            self._tell_invalid("path-invalid", claim, reason)
            return False
        try:
            check_regex(pattern)
        except ValueError as reason:
            self._tell_invalid("path-regex-invalid", claim, reason)
            return False
        return True

    def _rewrite(self, claim: Claim) -> Rewrite | None:
        target = claim.source.policy.rewrite_target
        if not target or target == claim.path:
            return None
        available = groups_of(claim.path)
        for group in range(available + 1, 10):
            target = target.replace(f"${group}", "")  # a missing group is empty, as PCRE has it
        return Rewrite(claim.path, target)

    # -- both

    def _location(self, match: PathMatch, claim: Claim, rewrite: Rewrite | None, tls: bool) -> Location | None:
        source = claim.source
        target = self.upstreams.target_of(claim.backend, source.key.namespace, source.key, claim.ref.field)
        if target is None:
            return None
        return Location(
            match,
            self.action_of(target, source.policy),
            claim.ref,
            self.policy_of(source.policy, claim.path, rewrite, tls=tls),
            target.service,
            target.port,
        )

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

    def _tell_invalid(self, code: str, claim: Claim, reason: ValueError) -> None:
        shown = claim.path if len(claim.path) <= 80 else claim.path[:77] + "..."
        self.findings.error(
            code,
            claim.source.key,
            claim.ref.field.child("path"),
            f"{shown!r} cannot be served: {reason}.",
            Effect.PATH_UNSERVED,
        )

    def _tell_became_regex(self, claim: Claim, host: HostClaims) -> None:
        cause = next(c.source.key for c in host.claims if c.own_regex)
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
