"""Places that an annotation names by URL (a mirror, an authentication service) as upstreams.

The name of a Service that we know leads straight to its pods, like a backend. Any other host is resolved by the
controller every two seconds and answered by our DNS, like an ExternalName: nginx needs no resolver of its own, search
domains work as in any pod, and addresses that no route may reach are refused after resolution.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re

from controller.k8s.core import Service
from controller.model.configuration import Idle, ProxyPass, Upstream
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.translate.backends import PLAIN, Dialect
from controller.translate.resources import Resources

CLUSTER_DOMAIN = "cluster.local"
NAMESPACE = "_url"
"""Where hosts of URLs live among the Services of our DNS. No namespace of Kubernetes can have this name."""

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])"
"""Grammar of the host of a URL: a DNS name, an IPv4 address, or an IPv6 address in brackets."""

PORT = ":[0-9]{1,5}"

_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Where clouds hand out credentials. Names that lead there are refused after resolution (`endpoints.external`)."""


def upstream_at(resources: Resources, host: str, port: int, *, tls: bool, idle: Idle | None = None) -> ProxyPass:
    """The upstream of a host and port. Raises `ValueError` with the reason where no route may lead there.

    `host`: in the form of `HOST`. In-cluster names are `svc.ns`, `svc.ns.svc` and `svc.ns.svc.cluster.local`. `tls`:
    how it is spoken to, since connections are kept by upstream. `idle`: which connections are kept.
    """
    name = host.strip("[]").rstrip(".").lower()
    if not 0 < port < 65_536:
        raise ValueError(f"there is no port {port}")
    reason = _refusal(name, resources.options)
    if reason:
        raise ValueError(reason)
    service = _service(resources, name)
    if service is not None:
        found = next((p for p in service.spec.ports if p.port == port and p.protocol == "TCP"), None)
        if found is not None:
            return resources.upstreams.use(service, found, str(port), _dialect(tls=tls, idle=idle))
    return _by_name(resources, name, port, _dialect(tls=tls, idle=idle))


def _dialect(*, tls: bool, idle: Idle | None) -> Dialect:
    kept = (f"kept-{'-'.join(map(str, idle))}",) if idle else ()
    suffix = ".".join((*(("url-https",) if tls else ()), *kept))
    return Dialect(suffix, idle=idle) if suffix else PLAIN


def _by_name(resources: Resources, name: str, port: int, dialect: Dialect) -> ProxyPass:
    readable = re.sub("[^a-z0-9.-]", "-", name)[:100]
    identity = f"_url.{readable}.{_digest(name)[:8]}.{port}.{dialect.suffix or 'url-http'}"
    key = ObjectKey(Kind.SERVICE, NAMESPACE, _digest(name))
    found = Upstream(identity, key, str(port), external=True, host=name, idle=dialect.idle)
    resources.upstreams.used.setdefault(identity, found)
    return ProxyPass(identity, external=True)


def _digest(name: str) -> str:
    """A name as one label of the DNS."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _service(resources: Resources, name: str) -> Service | None:
    labels = name.removesuffix("." + CLUSTER_DOMAIN).split(".")
    if len(labels) == 3 and labels[2] == "svc":
        labels.pop()
    found = resources.service(labels[1], labels[0]) if len(labels) == 2 else None
    return None if found is None or found.spec.type == "ExternalName" else found


def _refusal(name: str, options: Options) -> str:
    if options.allow_local_external_names:
        return ""
    if name == "localhost" or name.endswith(".localhost"):
        return "it points to localhost"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return "" if not re.fullmatch(r"[0-9.]+|[0-9a-f]*:[0-9a-f:.]*", name) else "its host is not an address"
    plain = getattr(address, "ipv4_mapped", None) or address
    if plain.is_loopback or plain.is_link_local or plain.is_unspecified or plain.is_multicast or plain in _METADATA:
        return f"it points to {address}, an address that routes must not reach"
    return ""
