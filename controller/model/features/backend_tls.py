"""How pods are spoken to over TLS, and what a FastCGI application is told besides the request."""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.model.features import LocationFeature

USUAL_PROTOCOLS = ("TLSv1.2",)
"""What ingress-nginx offers where a Secret is named and nothing is said of protocols."""


@dataclass(frozen=True, slots=True)
class BackendTls(LocationFeature):
    """The `proxy-ssl-*` annotations. `certificate` and `ca` are names of files (`Configuration.files`), or empty.

    `name`: for the server name of the handshake and for the check of the certificate; empty: the Host that the pod
    gets. `server_name`: whether it is sent. `ciphers` and `protocols` are nginx's own where they are empty. Whoever
    shares a connection shares all of this, so it is part of the identity of an upstream.
    """

    certificate: str = ""
    ca: str = ""
    verify: bool = False
    depth: int = 1
    name: str = ""
    server_name: bool = False
    ciphers: str = ""
    protocols: tuple[str, ...] = ()

    @property
    def has_secret(self) -> bool:
        return bool(self.certificate or self.ca)

    @property
    def needs_name(self) -> bool:
        """Whether the name means anything."""
        return self.verify or self.server_name

    def completed_by(self, host: BackendTls) -> BackendTls:
        """These settings without a Secret of their own, over those of their host."""
        named = bool(host.name)
        return replace(
            host,
            name=self.name or host.name,
            server_name=self.server_name or (host.server_name and named),
            ciphers=self.ciphers or host.ciphers,
            protocols=self.protocols or host.protocols,
        )


@dataclass(frozen=True, slots=True)
class FastCgi(LocationFeature):
    """`fastcgi-index` and `fastcgi-params-configmap`: what is appended to a path that ends in a slash, and more
    parameters. Their values may hold variables of a closed list, which the reader has checked."""

    index: str = ""
    params: tuple[tuple[str, str], ...] = ()
