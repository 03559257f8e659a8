"""Keys and certificates of one control plane: short-lived, made in milliseconds, ours alone."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = datetime.timedelta(days=1)
_CLOCK_SKEW = datetime.timedelta(minutes=5)
_AUTHORITY = (
    x509.BasicConstraints(ca=True, path_length=0),
    x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    ),
)


class KeyPair(NamedTuple):
    """Two PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that writes all it issues into one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("headrace-e2e")
        certificate = self._signed(self._name, self._key.public_key(), _AUTHORITY)
        self.certificate = self._write("ca.crt", _pem(certificate))

    def server(self, name: str, hosts: Sequence[str], addresses: Sequence[str]) -> KeyPair:
        """Issue a certificate for a TLS server that is reached by these names."""
        alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        alternatives += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return self._issue(name, _name(name), [usage, x509.SubjectAlternativeName(alternatives)])

    def client(self, user: str, groups: Sequence[str] = ()) -> KeyPair:
        """Issue a certificate that the API server takes for `user`, a member of `groups`."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue(user.replace(":", "-"), _name(user, groups), [usage])

    def signing_key(self, name: str) -> KeyPair:
        """Write a key pair for signing tokens; the public half stands in the certificate's file."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private_file = self._write(f"{name}.key", _private_pem(key))
        return KeyPair(self._write(f"{name}.pub", public), private_file)

    def _issue(self, file_name: str, subject: x509.Name, extensions: Sequence[x509.ExtensionType]) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(subject, key.public_key(), extensions)
        return KeyPair(
            self._write(f"{file_name}.crt", _pem(certificate)),
            self._write(f"{file_name}.key", _private_pem(key)),
        )

    def _signed(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        extensions: Sequence[x509.ExtensionType],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(issuer_name=self._name, subject_name=subject)
        builder = builder.public_key(public_key).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + _LIFE)
        own = x509.SubjectKeyIdentifier.from_public_key(public_key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension in (*extensions, own, issuer):
            critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, file_name: str, content: bytes) -> Path:
        path = self._folder / file_name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
