"""Upstreams by how they are spoken to, and the TLS settings that Ingresses of one host share.

nginx keeps connections and TLS sessions by upstream and address, whatever they were opened for: a plain one would be
used for TLS, and one whose certificate nobody checked for a location that asks for the check. So a Service port is one
upstream for each way in which it is spoken to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.model.features import LocationFeature
from controller.model.features.backend_tls import BackendTls
from controller.model.policy import Protocol
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.backends import PLAIN, Dialect
from controller.translate.claims import HostClaims, Source

_TLS = frozenset({Protocol.HTTPS, Protocol.AUTO_HTTP, Protocol.GRPCS})


def dialect_of(policy: IngressPolicy) -> Dialect:
    """With the scheme of each client a kept connection would be used for the other one."""
    protocol = policy.protocol
    if protocol is Protocol.HTTP:
        return PLAIN
    tls = backend_tls_of(policy.locations) if protocol in _TLS else None
    digest = f"-{hashlib.sha256(repr(tls).encode()).hexdigest()[:12]}" if tls else ""
    return Dialect(protocol.lower().replace("_", "-") + digest, protocol is not Protocol.AUTO_HTTP)


def backend_tls_of(features: Iterable[LocationFeature]) -> BackendTls | None:
    return next((feature for feature in features if isinstance(feature, BackendTls)), None)


def share_backend_tls(hosts: Mapping[str, HostClaims]) -> None:
    """Give the Secret for TLS with pods that the oldest Ingress of a host names to the others of its namespace.

    So ingress-nginx had it (by settings of the whole server), though across namespaces, where it would show the
    certificate of one team to the pods of another.
    """
    for host in hosts.values():
        shared: dict[str, BackendTls] = {}
        for source in host.sources:
            found = backend_tls_of(source.policy.locations)
            if found and found.has_secret:
                shared.setdefault(source.key.namespace, found)
        if shared:
            _share(host, shared)


def _share(host: HostClaims, shared: Mapping[str, BackendTls]) -> None:
    host.sources = [_sharing(source, shared) for source in host.sources]
    by_key = {source.key: source for source in host.sources}
    host.claims = [replace(claim, source=by_key[claim.source.key]) for claim in host.claims]


def _sharing(source: Source, shared: Mapping[str, BackendTls]) -> Source:
    own, of_host = backend_tls_of(source.policy.locations), shared.get(source.key.namespace)
    if of_host is None or (own and own.has_secret):
        return source
    others = tuple(feature for feature in source.policy.locations if feature is not own)
    settings = (own or BackendTls()).completed_by(of_host)
    return replace(source, policy=replace(source.policy, locations=(*others, settings)))
