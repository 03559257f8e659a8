"""What each Ingress asks for, sorted by host: the step between reading objects and deciding who gets what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from controller.k8s.ingress import Backend, Ingress
from controller.model.configuration import CATCH_ALL
from controller.model.diagnostics import Effect
from controller.model.refs import FieldPath, ObjectKey, RuleRef
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.findings import Findings
from controller.translate.hosts import normalise_host
from controller.translate.order import Age

PATH_TYPES = frozenset({"Exact", "Prefix", "ImplementationSpecific"})


@dataclass(frozen=True, slots=True)
class Source:
    """One Ingress with its annotations read. `age`: its place among all, oldest first."""

    key: ObjectKey
    ingress: Ingress
    policy: IngressPolicy
    age: Age

    @property
    def is_default_alone(self) -> bool:
        """Whether it is no more than a default backend, of the catch-all then."""
        return not self.ingress.spec.rules


@dataclass(frozen=True, slots=True)
class Claim:
    """One path of one rule. `path_type` is one of `PATH_TYPES`; `path` is never empty."""

    source: Source
    ref: RuleRef
    path_type: str
    path: str
    backend: Backend

    @property
    def own_regex(self) -> bool:
        """Whether the Ingress itself asks for regular expressions on this path."""
        policy = self.source.policy
        return policy.use_regex or bool(policy.rewrite_target and policy.rewrite_target != self.path)


@dataclass(slots=True)
class HostClaims:
    """Everything asked for one host, oldest Ingress first. `canaries`: paths whose requests somebody wants to share."""

    host: str
    sources: list[Source] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    canaries: list[Claim] = field(default_factory=list)


def claims_of(source: Source, findings: Findings) -> dict[str, tuple[Claim, ...]]:
    """What one Ingress asks for, by normalised host, in the order of its rules."""
    hosts: dict[str, list[Claim]] = {}
    for position, rule in enumerate(source.ingress.spec.rules):
        host = _host_of(rule.host, source, position, findings)
        if host is not None:
            hosts.setdefault(host, []).extend(_claims_of(source, position, findings))
    return {host: tuple(claims) for host, claims in hosts.items()}


def claims_on(host: str, asking: Iterable[tuple[Source, tuple[Claim, ...]]]) -> HostClaims:
    """What all Ingresses ask for on a host, given oldest first. A canary makes no host of its own."""
    found = HostClaims(host)
    for source, claims in asking:
        if source.policy.canary:
            found.canaries += claims
        else:
            found.sources.append(source)
            found.claims += claims
    return found


def _claims_of(source: Source, position: int, findings: Findings) -> Iterator[Claim]:
    http = source.ingress.spec.rules[position].http
    for index, path in enumerate(http.paths if http else ()):
        ref = RuleRef(source.key, position, index)
        path_type = path.path_type or "ImplementationSpecific"
        if path_type not in PATH_TYPES:
            _tell_of_path_type(source, ref, path_type, findings)
            continue
        yield Claim(source, ref, path_type, path.path or "/", path.backend)


def _host_of(host: str, source: Source, position: int, findings: Findings) -> str | None:
    if not host:
        return CATCH_ALL
    try:
        return normalise_host(host)
    except ValueError as reason:
        findings.error(
            "host-invalid",
            source.key,
            FieldPath("spec.rules").index(position).child("host"),
            f"{host[:80]!r} cannot be served: {reason}.",
            Effect.HOST_UNSERVED,
        )
        return None


def _tell_of_path_type(source: Source, ref: RuleRef, path_type: str, findings: Findings) -> None:
    findings.error(
        "path-invalid",
        source.key,
        ref.field.child("pathType"),
        f"{path_type[:40]!r} is not a pathType.",
        Effect.PATH_UNSERVED,
        "Use Exact, Prefix or ImplementationSpecific.",
    )
