"""TLS Secrets as checked certificates, and which host is served with which one.

A pair is parsed completely here (leaf, chain, key, their match), because nginx loads it at the first handshake: what
is broken must never reach a file. A broken replacement leaves the last good pair in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import NameOID

from controller.k8s.core import Secret
from controller.model.configuration import Certificate
from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes

SOON = 10 * 86_400
"""Seconds before its end from which a certificate is warned about."""


UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for what it cannot read: at once, or when a part like the key or the names is asked for."""


class CertificateFault(Exception):
    """A Secret that cannot be served. `code` is the diagnostic's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def again(self) -> CertificateFault:
        """The same, without the frames that it was raised in: they would keep all they know alive with it."""
        return CertificateFault(self.code, str(self))


@dataclass(slots=True)
class CertificateCache:
    """Parsed pairs by Secret and content; parsing 2,000 of them anew for each build would cost a second."""

    parsed: dict[ObjectKey, tuple[str, Certificate | CertificateFault]] = field(default_factory=dict)

    def certificate_of(self, secret: Secret) -> Certificate:
        """Raises `CertificateFault` where the Secret holds no usable pair."""
        key = ObjectKey(Kind.SECRET, secret.metadata.namespace, secret.metadata.name)
        identity = _identity(secret)
        known = self.parsed.get(key)
        if known is None or known[0] != identity:
            known = (identity, _attempt(key, secret))
            self.parsed[key] = known
        if isinstance(known[1], CertificateFault):
            raise known[1].again()
        return known[1]

    def keep_only(self, keys: frozenset[ObjectKey]) -> None:
        """Forgets Secrets that nothing refers to any more."""
        self.parsed = {k: v for k, v in self.parsed.items() if k in keys}


def certificate_id(secret: ObjectKey) -> str:
    """A file name of the Secret: `namespace.name`; unambiguous, since a namespace holds no dot."""
    plain = f"{secret.namespace}.{secret.name}"
    return plain if len(plain) <= 180 else f"{plain[:160]}.{hashlib.sha256(plain.encode()).hexdigest()[:16]}"


def parse_pair(identity: str, secret: ObjectKey | None, chain_pem: bytes, key_pem: bytes) -> Certificate:
    """Raises `CertificateFault` where the two do not make a pair."""
    try:
        return _parse_pair(identity, secret, chain_pem, key_pem)
    except UNREADABLE as error:
        raise CertificateFault("certificate-unreadable", "tls.crt or tls.key has a part that cannot be read") from error


def _parse_pair(identity: str, secret: ObjectKey | None, chain_pem: bytes, key_pem: bytes) -> Certificate:
    chain = _load_chain(chain_pem)
    leaf = chain[0]
    key = _load_key(key_pem)
    if _public_bytes(key.public_key()) != _public_bytes(leaf.public_key()):
        raise CertificateFault(
            "certificate-key-mismatch", "tls.key does not belong to the first certificate of tls.crt"
        )
    chain_out = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain)
    key_out = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = chain_out + key_out
    digest = hashlib.sha256(pem).hexdigest()[:16]
    not_after = int(leaf.not_valid_after_utc.timestamp())
    return Certificate(identity, secret, _names(leaf), not_after, digest, SecretBytes(pem))


def covers(certificate: Certificate, host: str) -> bool:
    """Whether the certificate is valid for the host; a wildcard name stands for one label (RFC 6125, 6.4.3)."""
    wildcard = "*." + host.partition(".")[2]
    return host in certificate.names or (not host.startswith("*.") and wildcard in certificate.names)


def first_covering(certificates: Iterable[Certificate], host: str) -> Certificate | None:
    return next((c for c in certificates if covers(c, host)), None)


def still_good(kept: Mapping[str, Certificate], identity: str, now: int) -> Certificate | None:
    """The pair served so far, as long as it has not run out."""
    certificate = kept.get(identity)
    return certificate if certificate and certificate.not_after > now else None


def _identity(secret: Secret) -> str:
    """Changes with the content, also where the source has no resource versions (files)."""
    crt = secret.data.get("tls.crt")
    key = secret.data.get("tls.key")
    digest = hashlib.sha256(crt.reveal() if crt else b"")
    digest.update(b"\0" + (key.reveal() if key else b""))
    return digest.hexdigest()


def _attempt(key: ObjectKey, secret: Secret) -> Certificate | CertificateFault:
    crt, private = secret.data.get("tls.crt"), secret.data.get("tls.key")
    if not crt or not private:
        missing = " and ".join(n for n, v in (("tls.crt", crt), ("tls.key", private)) if not v)
        return CertificateFault("certificate-unreadable", f"it has no {missing}")
    try:
        return parse_pair(certificate_id(key), key, crt.reveal(), private.reveal())
    except CertificateFault as fault:
        return fault.again()


def _load_chain(pem: bytes) -> list[x509.Certificate]:
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise CertificateFault("certificate-unreadable", "tls.crt is not a PEM certificate") from error
    return chain


def _load_key(pem: bytes) -> PrivateKeyTypes:
    try:
        # The match with the certificate is checked by us; the slow primality tests would add nothing.
        return serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    except UNREADABLE as error:  # TypeError: the key is encrypted
        raise CertificateFault("certificate-unreadable", "tls.key is not an unencrypted PEM private key") from error


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Subject alternative names; only a certificate without any of them is known by its common name."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(attribute.value).lower() for attribute in common)
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))
