"""Upstreams by how pods are chosen and spoken to, and the TLS settings that Ingresses of one host share.

nginx keeps connections and TLS sessions by upstream and address, whatever they were opened for: a plain one would be
used for TLS, and one whose certificate nobody checked for a location that asks for the check. So a Service port is one
upstream for each way in which it is spoken to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.model.configuration import CATCH_ALL
from controller.model.features import LocationFeature
from controller.model.features.backend_tls import BackendTls
from controller.model.features.balancing import IN_TURN
from controller.model.features.proxying import HostHeader
from controller.model.features.redirects import OtherNames
from controller.model.policy import Protocol
from controller.translate.annotations.policies import IngressPolicy
from controller.translate.backends import PLAIN, Dialect
from controller.translate.claims import HostClaims, Source

_TLS = frozenset({Protocol.HTTPS, Protocol.AUTO_HTTP, Protocol.GRPCS})


def dialect_of(policy: IngressPolicy, *, balanced: bool = True) -> Dialect:
    """How the pods of an Ingress are chosen (not with `balanced` false) and spoken to."""
    dialect = _spoken(policy)
    if balanced and policy.balancing != IN_TURN:
        method, key = policy.balancing.method, policy.balancing.key
        digest = f"-{hashlib.sha256(repr(policy.balancing).encode()).hexdigest()[:12]}" if key else ""
        dialect = dialect._replace(suffix=dialect.tagged(f"{method}{digest}"), balancing=policy.balancing)
    if policy.through_service:
        dialect = dialect._replace(suffix=dialect.tagged("service"), through_service=True)
    return dialect


def _spoken(policy: IngressPolicy) -> Dialect:
    """How the pods of an Ingress are spoken to.

    With the scheme of each client, or the name that each client asks for, a connection that is kept would be used for
    another one; so none is.
    """
    protocol = policy.protocol
    if protocol is Protocol.HTTP:
        return PLAIN
    tls = backend_tls_of(policy.locations) if protocol in _TLS else None
    digest = f"-{hashlib.sha256(repr(tls).encode()).hexdigest()[:12]}" if tls else ""
    varies = protocol is Protocol.AUTO_HTTP or bool(tls and tls.needs_name and not tls.name)
    return Dialect(protocol.lower().replace("_", "-") + digest, keeps=not varies)


def backend_tls_of(features: Iterable[LocationFeature]) -> BackendTls | None:
    return next((feature for feature in features if isinstance(feature, BackendTls)), None)


def settle_backend_tls(host: HostClaims, *, share: bool) -> None:
    """Give each Ingress of a host the TLS settings that count there.

    `share`: the Secret that the oldest Ingress of a host names is for the others of its namespace, too. So
    ingress-nginx had it (by settings of the whole server), though across namespaces, where it would show the
    certificate of one team to the pods of another.
    """
    if any(backend_tls_of(source.policy.locations) for source in host.sources):
        shared = _shared(host) if share else {}
        host.sources = [_settled(source, shared, _only_name(host)) for source in host.sources]
        by_key = {source.key: source for source in host.sources}
        host.claims = [replace(claim, source=by_key[claim.source.key]) for claim in host.claims]


def _shared(host: HostClaims) -> dict[str, BackendTls]:
    found: dict[str, BackendTls] = {}
    for source in host.sources:
        tls = backend_tls_of(source.policy.locations)
        if tls and tls.has_secret:
            found.setdefault(source.key.namespace, tls)
    return found


def _settled(source: Source, shared: Mapping[str, BackendTls], host: str) -> Source:
    features = source.policy.locations
    own, of_host = backend_tls_of(features), shared.get(source.key.namespace)
    settled = own
    if of_host is not None and not (own and own.has_secret):
        settled = (own or BackendTls()).completed_by(of_host)
    if settled and settled.needs_name and not settled.name:
        settled = replace(settled, name=_host_sent(features, host))
    if settled is None or settled == own:
        return source
    others = tuple(feature for feature in features if feature is not own)
    return replace(source, policy=replace(source.policy, locations=(*others, settled)))


def _only_name(host: HostClaims) -> str:
    """The name that every request to the host has in Host; empty where it can be one of several."""
    several = host.host == CATCH_ALL or host.host.startswith("*.")
    several = several or any(isinstance(f, OtherNames) for source in host.sources for f in source.policy.servers)
    return "" if several else host.host


def _host_sent(features: Iterable[LocationFeature], host: str) -> str:
    replaced = next((feature.text for feature in features if isinstance(feature, HostHeader)), host)
    return "" if "$" in replaced else replaced.partition(":")[0]
