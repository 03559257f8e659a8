"""The tools of one step of a translation, and what they have noted when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.model.configuration import Certificate
from controller.model.options import Options
from controller.state.snapshot import Snapshot
from controller.translate.backends import Upstreams
from controller.translate.certificates import Certificates
from controller.translate.findings import Findings
from controller.translate.resources import Resources
from controller.translate.tls import CertificateCache
from controller.translate.traces import FOR_EVER, NO_FILES, Trace
from controller.translate.view import View


@dataclass(frozen=True, slots=True)
class World:
    """The arguments of one translation. `now`: seconds since the epoch. `kept`: certificates served so far, by id."""

    snapshot: Snapshot
    options: Options
    now: int
    kept: Mapping[str, Certificate]
    cache: CertificateCache


@dataclass(slots=True)
class Work:
    """One step under way. Make a new one for each step."""

    world: World
    view: View = field(init=False)
    findings: Findings = field(init=False)
    upstreams: Upstreams = field(init=False)
    resources: Resources = field(init=False)
    certificates: Certificates = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        self.view = View(world.snapshot)
        self.findings = Findings()
        self.upstreams = Upstreams(self.view, world.options, self.findings)
        self.resources = Resources(self.view, world.options, self.upstreams)
        self.certificates = Certificates(self.view, world.options, self.findings, world.cache, world.kept, world.now)

    @property
    def noted(self) -> tuple[int, ...]:
        """How much of each there is so far."""
        resources = self.resources
        asked = (self.view.asked, self.findings.items, self.upstreams.used)
        return tuple(map(len, (*asked, resources.secrets, resources.configmaps, resources.files)))

    def trace(self) -> Trace:
        """What has been read and left so far."""
        certificates, resources, now = self.certificates, self.resources, self.world.now
        return Trace(
            reads=tuple(self.view.asked),
            findings=tuple(dict.fromkeys(self.findings.items)),
            upstreams=tuple(self.upstreams.used.values()),
            certificates=tuple(certificates.used.values()),
            secrets=tuple(certificates.referenced | resources.secrets),
            configmaps=tuple(resources.configmaps),
            files=resources.files or NO_FILES,
            since=max((moment for moment in certificates.moments if moment <= now), default=-FOR_EVER),
            until=min((moment for moment in certificates.moments if moment > now), default=FOR_EVER),
            kept=tuple(certificates.looked_back.items()),
        )
