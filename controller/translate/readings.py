"""One Ingress by itself: whether it is ours, what its annotations ask for, and which paths of which hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.k8s.ingress import Ingress
from controller.model.configuration import MainSettings
from controller.model.refs import ObjectKey
from controller.translate.annotations.annotation import OUR_PREFIX
from controller.translate.annotations.policies import IngressPolicy, policy_of
from controller.translate.canaries import tell_of_default_backend
from controller.translate.claims import Claim, Source, claims_of
from controller.translate.inspection import is_refused, restrained
from controller.translate.order import Age
from controller.translate.selection import is_ours
from controller.translate.steps import Work


@dataclass(frozen=True, slots=True)
class Reading:
    """An Ingress of ours, and its claims by host."""

    source: Source
    claims: Mapping[str, tuple[Claim, ...]]


@dataclass(slots=True)
class Readers:
    """Reads Ingresses under the same settings. `_plain`: the policy of all that have no annotation, where that is the
    same for all: where nothing was looked up or told on the way."""

    main: MainSettings
    _plain: IngressPolicy | None = None

    def read(self, key: ObjectKey, ingress: Ingress, work: Work) -> Reading | None:
        """None where nothing of it counts: it is not ours, or it is refused."""
        findings, options = work.findings, work.world.options
        if not is_ours(key, ingress, work.view, options, findings) or is_refused(ingress, key, findings):
            return None
        source = Source(key, ingress, self._policy(key, ingress, work), Age.of(ingress))
        tell_of_default_backend(source, findings)
        return Reading(source, claims_of(source, findings))

    def _policy(self, key: ObjectKey, ingress: Ingress, work: Work) -> IngressPolicy:
        options, noted = work.world.options, work.noted
        prefixes = (f"{options.annotations_prefix}/", OUR_PREFIX)
        plain = not any(name.startswith(prefixes) for name in ingress.metadata.annotations or ())
        if plain and self._plain is not None:
            return self._plain
        policy = policy_of(ingress, key, self.main, work.resources, work.findings)
        policy = restrained(policy, ingress, key, self.main, options, work.findings)
        if plain and work.noted == noted:
            self._plain = policy
        return policy
