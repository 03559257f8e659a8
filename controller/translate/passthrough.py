"""Hosts whose TLS connections go to the pods of their path `/` as they are (`ssl-passthrough`).

nginx cannot look into such connections, so paths and annotations have no say over them, but for lists of addresses,
which are looked at where the connection comes in. Plain HTTP of the host goes through nginx, and since these pods
speak TLS they are spoken to in TLS then, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.model.configuration import (
    CATCH_ALL,
    Location,
    MainSettings,
    MatchKind,
    ProxyPass,
    Server,
    Upstream,
)
from controller.model.diagnostics import Effect
from controller.model.features.access import AccessLists
from controller.model.features.passthrough import TlsPassthrough
from controller.model.policy import Protocol
from controller.model.refs import FieldPath, ObjectKey
from controller.model.stream import Passthrough, StreamUpstream, Transport
from controller.translate.claims import Claim, HostClaims
from controller.translate.findings import Findings
from controller.translate.stream import stream_upstream

_FEATURE = TlsPassthrough()
_WITH_TLS = {Protocol.HTTP: Protocol.HTTPS, Protocol.AUTO_HTTP: Protocol.HTTPS, Protocol.GRPC: Protocol.GRPCS}


def settle_passthrough(host: HostClaims, annotation: str, findings: Findings) -> None:
    """Takes the feature from a host that cannot have it, and has the pods of one that can spoken to in TLS."""
    askers = [source.key for source in host.sources if _FEATURE in source.policy.servers]
    if not askers:
        return
    reason = _hindrance(host)
    if reason:
        _tell(askers, annotation, reason, findings)
        host.sources = [
            replace(s, policy=replace(s.policy, servers=tuple(f for f in s.policy.servers if f != _FEATURE)))
            for s in host.sources
        ]
    else:
        root = _backend(next(claim for claim in host.claims if claim.path == "/"))
        host.claims = [_in_tls(claim) if _backend(claim) == root else claim for claim in host.claims]


def passthrough_of(
    servers: Mapping[str, Server], upstreams: Mapping[str, Upstream], main: MainSettings
) -> tuple[tuple[Passthrough, ...], dict[str, StreamUpstream]]:
    """The hosts that are passed through, and where to. Not those whose path `/` answers 503 by itself: nginx ends
    their TLS and says so."""
    hosts: list[Passthrough] = []
    used: dict[str, StreamUpstream] = {}
    for server in servers.values():
        root = _root(server) if _FEATURE in server.features else None
        if root is None or not isinstance(root.action, ProxyPass):
            continue
        of_http = upstreams[root.action.upstream]
        upstream = stream_upstream(of_http.service, of_http.dns_port, Transport.TCP, external=of_http.external)
        used[upstream.id] = upstream
        lists = next((f for f in root.policy.features if isinstance(f, AccessLists)), AccessLists())
        denied = tuple(dict.fromkeys((*main.block_cidrs, *lists.denied)))
        hosts.append(Passthrough(server.host, upstream.id, server.origins, lists.allowed, denied))
    return tuple(hosts), used


def _root(server: Server) -> Location | None:
    kinds = (MatchKind.PREFIX, MatchKind.REGEX)
    return next((loc for loc in server.locations if loc.match.path == "/" and loc.match.kind in kinds), None)


def _hindrance(host: HostClaims) -> str:
    """Why the host cannot be passed through, or nothing."""
    if host.host == CATCH_ALL or host.host.startswith("*."):
        return "only a host with a full name can be passed through"
    if not any(claim.path == "/" and claim.path_type != "Exact" for claim in host.claims):
        return f"{host.host} has no backend for the path /"
    return ""


def _tell(askers: Iterable[ObjectKey], annotation: str, reason: str, findings: Findings) -> None:
    for asker in askers:
        findings.warning(
            "annotation-ignored",
            asker,
            FieldPath("metadata.annotations").key(annotation),
            f"nginx ends the TLS of this host, because {reason}.",
            Effect.SETTING_IGNORED,
        )


def _backend(claim: Claim) -> tuple[str, str, str]:
    service = claim.backend.service
    return (claim.source.key.namespace, service.name, str(service.port)) if service else ("", "", "")


def _in_tls(claim: Claim) -> Claim:
    policy = claim.source.policy
    if policy.protocol not in _WITH_TLS:
        return claim
    return replace(claim, source=replace(claim.source, policy=replace(policy, protocol=_WITH_TLS[policy.protocol])))
