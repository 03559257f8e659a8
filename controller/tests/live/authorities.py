"""Certificate authorities for tests: roots, intermediates, leaves, revocation lists, and TLS contexts of them."""

from __future__ import annotations

import base64
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.tests.live.objects import Object

Pair = tuple[bytes, bytes]
"""A chain (leaf first) and a key, PEM."""


@dataclass
class Authority:
    """One that issues. `parent` is None for a root."""

    name: str
    parent: Authority | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        issuer = self.parent or self
        builder = _builder(_name(self.name), issuer.subject, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = builder.sign(issuer.key, hashes.SHA256())

    @property
    def subject(self) -> x509.Name:
        return _name(self.name)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str, common_name: str = "leaf", organization: str = "", days: int = 30) -> Pair:
        """A leaf, with the intermediates that lead to the root, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name, organization), self.subject, key, days)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        leaf = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return leaf + self._intermediates(), private

    def revoking(self, *pairs: Pair) -> bytes:
        """A revocation list, PEM."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject)
        builder = builder.last_update(now - timedelta(days=1)).next_update(now + timedelta(days=30))
        for pair in pairs:
            serial = x509.load_pem_x509_certificate(pair[0]).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _intermediates(self) -> bytes:
        return self.pem + self.parent._intermediates() if self.parent else b""


def secret(name: str, pair: Pair | None = None, namespace: str = "default", **data: bytes) -> Object:
    """Write `ca_crt=...` for the key `ca.crt`; `pair` is for `tls.crt` and `tls.key`."""
    if pair:
        data = {"tls_crt": pair[0], "tls_key": pair[1], **data}
    encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": encoded,
    }


def server_context(
    pair: Pair, clients: Authority | None = None, version: ssl.TLSVersion | None = None, ciphers: str = ""
) -> ssl.SSLContext:
    """For a backend. With `clients` it takes nobody without a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, pair)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem.decode())
    if version:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    context.sni_callback = _note_name
    return context


def client_context(pair: Pair | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """For a client, which believes any server."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair:
        _load(context, pair)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def _note_name(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
    connection.name_asked_for = name  # type: ignore[attr-defined]


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pair.pem"
        path.write_bytes(pair[0] + pair[1])
        context.load_cert_chain(path)


def _name(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 30
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
    )
