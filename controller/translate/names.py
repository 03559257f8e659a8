"""Further names of hosts: aliases, and the sibling with or without `www.` that only redirects.

A name that some rule claims as its host stays with that host, whatever the age of the objects; of two hosts that want
the same further name, the one whose Ingress is older gets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from controller.model.configuration import (
    CATCH_ALL,
    DEFAULT_CERTIFICATE,
    Alias,
    Location,
    MatchKind,
    PathMatch,
    RedirectHost,
    Server,
)
from controller.model.diagnostics import Effect
from controller.model.features.redirects import OtherNames, WwwRedirect
from controller.model.refs import FieldPath, RuleRef
from controller.translate.certificates import Certificates
from controller.translate.claims import HostClaims, Source
from controller.translate.findings import Findings
from controller.translate.ownership import Ownership

F = TypeVar("F")
_EVERYTHING = PathMatch(MatchKind.PREFIX, "/")


@dataclass(slots=True)
class OtherNamesOf:
    """Gives hosts their further names. `_taken`: every name so far, and whose it is."""

    certificates: Certificates
    findings: Findings
    ownership: Ownership
    _taken: dict[str, str] = field(default_factory=dict)

    def give(self, servers: Mapping[str, Server], hosts: Mapping[str, HostClaims]) -> dict[str, Server]:
        """The servers with their aliases, and one more for each sibling that redirects."""
        self._taken = {host: host for host in servers}
        result = dict(servers)
        asking = _oldest_first(hosts.values())
        for source, host in asking:
            result[host] = self._with_aliases(result[host], source)
        for source, host in asking:
            sibling = self._sibling(result[host], source)
            if sibling is not None:
                result[sibling.host] = sibling
        return {host: _without_names(server) for host, server in result.items()}

    def _with_aliases(self, server: Server, source: Source) -> Server:
        wanted = _feature(source, OtherNames)
        if wanted is None or server.host == CATCH_ALL:
            return server
        if server.aliases or self._chosen_before(server, wanted):
            self._tell(source, f"An older Ingress of {server.host} has named its aliases already.")
            return server
        free = [name for name in wanted.names if self._take(name, server, source)]
        aliases = (Alias(name, self.certificates.for_other_name(name, server.certificate)) for name in free)
        return replace(server, aliases=tuple(aliases))

    @staticmethod
    def _chosen_before(server: Server, wanted: OtherNames) -> bool:
        return wanted not in server.features

    def _take(self, name: str, server: Server, source: Source) -> bool:
        if not self.ownership.may_use(source.key.namespace, name):
            self._tell(source, f"{name} is not for the namespace {source.key.namespace!r} (--host-ownership).")
            return False
        owner = self._taken.setdefault(name, server.host)
        if owner == server.host and name != server.host:
            return True
        if name != server.host:
            self._tell(source, f"{name} is a name of {owner}, so it is not one of {server.host} too.")
        return False

    def _tell(self, source: Source, message: str) -> None:
        where = FieldPath("metadata.annotations").key(f"{self.certificates.options.annotations_prefix}/server-alias")
        self.findings.warning("alias-taken", source.key, where, message, Effect.SETTING_IGNORED)

    def _sibling(self, server: Server, source: Source) -> Server | None:
        host = server.host
        if _feature(source, WwwRedirect) is None or host == CATCH_ALL or host.startswith("*."):
            return None
        name = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
        if name in self._taken or "." not in name or not self.ownership.may_use(source.key.namespace, name):
            return None
        self._taken[name] = host
        answer = Location(_EVERYTHING, RedirectHost(host), RuleRef(source.key, -1, -1))
        certificate = self.certificates.for_other_name(name, server.certificate or DEFAULT_CERTIFICATE)
        return Server(name, (), answer, tls=server.tls, certificate=certificate, origins=(source.key,))


def _oldest_first(hosts: Iterable[HostClaims]) -> list[tuple[Source, str]]:
    """Each Ingress that asks for names, with each of its hosts."""
    found = [(source, claims.host) for claims in hosts for source in claims.sources if _asks(source)]
    return sorted(found, key=lambda pair: (pair[0].position, pair[1]))


def _asks(source: Source) -> bool:
    return any(isinstance(feature, OtherNames | WwwRedirect) for feature in source.policy.servers)


def _feature(source: Source, kind: type[F]) -> F | None:
    return next((feature for feature in source.policy.servers if isinstance(feature, kind)), None)


def _without_names(server: Server) -> Server:
    """What is done with here is none of the renderer's business."""
    rest = tuple(f for f in server.features if not isinstance(f, OtherNames | WwwRedirect))
    return server if rest == server.features else replace(server, features=rest)
