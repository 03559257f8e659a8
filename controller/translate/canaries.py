"""Which canary gets some of the requests of which path.

A canary belongs to the Ingress that owns the same host, path and pathType, whichever is older, and shares the requests
of that path alone. ingress-nginx took the Service for the link between the two, so a canary reached every path of every
host behind that Service, and one of another namespace could take a stranger's traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from controller.model.diagnostics import Effect
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.claims import Claim, Source
from controller.translate.findings import Findings

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Canaries:
    """`anywhere`: whether a canary may be in another namespace than the Ingress whose requests it shares."""

    findings: Findings
    anywhere: bool = False

    def paired(
        self, canaries: Iterable[Claim], owners: Mapping[K, Claim], key_of: Callable[[Claim], K | None]
    ) -> dict[K, Claim]:
        """The one canary of each path; canaries come oldest first. The others are told why they are none."""
        found: dict[K, Claim] = {}
        for claim in canaries:
            key = key_of(claim)
            if key is None:
                continue
            owner = owners.get(key)
            if owner is None:
                self._inert(claim, "There is no other Ingress with this host, path and pathType to share requests of.")
            elif self._may_share(claim, owner) and self._first(claim, found.get(key)):
                found[key] = claim
        return found

    def _may_share(self, claim: Claim, owner: Claim) -> bool:
        ours, theirs = claim.source.key, owner.source.key
        if ours.namespace != theirs.namespace and not self.anywhere:
            self.findings.error(
                "canary-refused",
                ours,
                claim.ref.field.child("path"),
                f"{theirs} owns this path, and a canary of another namespace gets none of its requests.",
                Effect.PATH_UNSERVED,
                related=(theirs,),
            )
            return False
        if claim.backend == owner.backend and ours.namespace == theirs.namespace:
            self._inert(claim, f"It names the same Service and port as {theirs}.", theirs)
            return False
        return True

    def _first(self, claim: Claim, other: Claim | None) -> bool:
        if other is not None and other.source is not claim.source:
            self._inert(claim, f"{other.source.key} is older and the canary of this path already.", other.source.key)
        return other is None

    def _inert(self, claim: Claim, why: str, *related: ObjectKey) -> None:
        tell_inert(claim.source, claim.ref.field.child("path"), why, self.findings, *related)


def tell_strays(strays: Iterable[Claim], findings: Findings) -> None:
    """Canaries of a host that there is not."""
    for claim in strays:
        tell_inert(claim.source, claim.ref.field.child("path"), "No other Ingress has its host.", findings)


def tell_of_default_backend(source: Source, findings: Findings) -> None:
    """A canary that has one."""
    if source.policy.canary and source.ingress.spec.default_backend is not None:
        why = "A default backend shares no requests: name the host and the path in a rule."
        tell_inert(source, FieldPath("spec.defaultBackend"), why, findings)


def tell_inert(source: Source, where: FieldPath, why: str, findings: Findings, *related: ObjectKey) -> None:
    findings.warning("canary-inert", source.key, where, f"The canary gets no requests. {why}", Effect.NONE, "", related)
