"""Certificates of clients, and the ciphers that a host offers them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.model.features import ServerFeature


class Verify(StrEnum):
    """`auth-tls-verify-client`. `OPTIONAL_NO_CA` asks for a certificate and takes any."""

    ON = "on"
    OFF = "off"
    OPTIONAL = "optional"
    OPTIONAL_NO_CA = "optional_no_ca"


@dataclass(frozen=True, slots=True)
class ClientCertificates(ServerFeature):
    """The `auth-tls-*` annotations. `ca` and `crl` are names of files (`Configuration.files`).

    `broken`: they cannot be honoured, so nothing of the host is served over HTTPS. `error_page`: a URL or a path of
    the host, empty for none. `match_cn`: a regular expression that the subject of the certificate must match.
    """

    ca: str = ""
    crl: str = ""
    verify: Verify = Verify.ON
    depth: int = 1
    error_page: str = ""
    pass_certificate: bool = False
    match_cn: str = ""
    broken: bool = False

    @property
    def guards(self) -> bool:
        """Whether the handshake asks for a certificate."""
        return not self.broken and self.verify is not Verify.OFF


@dataclass(frozen=True, slots=True)
class CipherList(ServerFeature):
    """`ssl-ciphers`: an OpenSSL cipher list that selects something."""

    ciphers: str


@dataclass(frozen=True, slots=True)
class CipherPreference(ServerFeature):
    """`ssl-prefer-server-ciphers`: whether our order of ciphers counts, or the client's."""

    server: bool
