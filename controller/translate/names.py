"""Further names of hosts: aliases, and the sibling with or without `www.` that only redirects.

A name that some rule claims as its host stays with that host, whatever the age of the objects; of two hosts that want
the same further name, the one whose Ingress is older gets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from controller.model.configuration import (
    CATCH_ALL,
    DEFAULT_CERTIFICATE,
    Alias,
    Certificate,
    Location,
    MatchKind,
    PathMatch,
    RedirectHost,
    Server,
)
from controller.model.diagnostics import Effect
from controller.model.features.redirects import OtherNames, WwwRedirect
from controller.model.options import Options
from controller.model.refs import FieldPath, RuleRef
from controller.translate.certificates import for_other_name
from controller.translate.claims import Source
from controller.translate.findings import Findings
from controller.translate.order import Age
from controller.translate.ownership import Ownership

F = TypeVar("F")
_EVERYTHING = PathMatch(MatchKind.PREFIX, "/")


class Asking(NamedTuple):
    """An Ingress that asks for further names of a host. As a tuple it sorts oldest first."""

    age: Age
    host: str
    source: Source


@dataclass(slots=True)
class OtherNamesOf:
    """Gives hosts their further names. `servers`: those of all hosts. `taken`: further names, and whose they are."""

    servers: Mapping[str, Server]
    used: Mapping[str, Certificate]
    options: Options
    findings: Findings
    ownership: Ownership
    taken: dict[str, str] = field(default_factory=dict)

    def give(self, askers: Iterable[Asking]) -> dict[str, Server]:
        """The servers of those who ask, with their aliases, and one more for each sibling that redirects."""
        asking = sorted(askers, key=lambda each: each[:2])
        result = {each.host: self.servers[each.host] for each in asking}
        for _, host, source in asking:
            result[host] = self._with_aliases(result[host], source)
        for _, host, source in asking:
            sibling = self._sibling(result[host], source)
            if sibling is not None:
                result[sibling.host] = sibling
        return {host: without_names(server) for host, server in result.items()}

    def _with_aliases(self, server: Server, source: Source) -> Server:
        wanted = _feature(source, OtherNames)
        if wanted is None or server.host == CATCH_ALL:
            return server
        if server.aliases or self._chosen_before(server, wanted):
            self._tell(source, f"An older Ingress of {server.host} has named its aliases already.")
            return server
        free = [name for name in wanted.names if self._take(name, server, source)]
        aliases = (Alias(name, for_other_name(name, server.certificate, self.used)) for name in free)
        return replace(server, aliases=tuple(aliases))

    @staticmethod
    def _chosen_before(server: Server, wanted: OtherNames) -> bool:
        return wanted not in server.features

    def _take(self, name: str, server: Server, source: Source) -> bool:
        if not self.ownership.may_use(source.key.namespace, name):
            self._tell(source, f"{name} is not for the namespace {source.key.namespace!r} (--host-ownership).")
            return False
        owner = name if name in self.servers else self.taken.setdefault(name, server.host)
        if owner == server.host and name != server.host:
            return True
        if name != server.host:
            self._tell(source, f"{name} is a name of {owner}, so it is not one of {server.host} too.")
        return False

    def _tell(self, source: Source, message: str) -> None:
        where = FieldPath("metadata.annotations").key(f"{self.options.annotations_prefix}/server-alias")
        self.findings.warning("alias-taken", source.key, where, message, Effect.SETTING_IGNORED)

    def _sibling(self, server: Server, source: Source) -> Server | None:
        host = server.host
        if _feature(source, WwwRedirect) is None or host == CATCH_ALL or host.startswith("*."):
            return None
        name = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
        known = name in self.servers or name in self.taken
        if known or "." not in name or not self.ownership.may_use(source.key.namespace, name):
            return None
        self.taken[name] = host
        answer = Location(_EVERYTHING, RedirectHost(host), RuleRef(source.key, -1, -1))
        certificate = for_other_name(name, server.certificate or DEFAULT_CERTIFICATE, self.used)
        return Server(name, (), answer, tls=server.tls, certificate=certificate, origins=(source.key,))


def asks(source: Source) -> bool:
    """Whether the Ingress wants further names for its hosts."""
    return any(isinstance(feature, OtherNames | WwwRedirect) for feature in source.policy.servers)


def _feature(source: Source, kind: type[F]) -> F | None:
    return next((feature for feature in source.policy.servers if isinstance(feature, kind)), None)


def without_names(server: Server) -> Server:
    """What is done with here is none of the renderer's business."""
    rest = tuple(f for f in server.features if not isinstance(f, OtherNames | WwwRedirect))
    return server if rest == server.features else replace(server, features=rest)
