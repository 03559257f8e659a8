"""Secrets that hold authorities, revocation lists and client certificates, parsed and written anew.

nginx reads these files when it loads its configuration and refuses all of it for one that it cannot read. So nothing
of a Secret reaches a file as it is: what is written is what was parsed.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from controller.k8s.core import Secret
from controller.model.secretbytes import SecretBytes
from controller.translate.tls import UNREADABLE, CertificateFault, parse_pair

LARGEST = 1 << 20
"""Bytes of a key of a Secret: what etcd takes."""

_CRL = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_WEAK = frozenset({"md5", "sha1"})


def authorities_of(secret: Secret) -> bytes:
    """`ca.crt` as PEM. Raises `CertificateFault` where there is none that can be read."""
    found = secret.data.get("ca.crt")
    if not found:
        raise CertificateFault("certificate-unreadable", "it has no ca.crt")
    return _authorities(found.reveal())


def revocations_of(secret: Secret) -> bytes:
    """`ca.crl` as PEM, empty where there is none. Raises `CertificateFault` where it cannot be read."""
    found = secret.data.get("ca.crl")
    return _revocations(found.reveal()) if found else b""


def pair_of(secret: Secret) -> SecretBytes | None:
    """`tls.crt` and `tls.key` as one PEM text, None where there is neither.

    Raises `CertificateFault` where they are no pair, or one that nginx would not load.
    """
    chain, key = secret.data.get("tls.crt"), secret.data.get("tls.key")
    if not chain and not key:
        return None
    if not chain or not key:
        raise CertificateFault("certificate-unreadable", f"it has no {'tls.key' if chain else 'tls.crt'}")
    pem = parse_pair("", None, chain.reveal(), key.reveal()).pem
    _refuse_weak(pem.reveal())
    return pem


def file_name(content: bytes | SecretBytes, suffix: str) -> str:
    """A name that changes with the content, so that nginx is told to read anew."""
    plain = content.reveal() if isinstance(content, SecretBytes) else content
    return f"{hashlib.sha256(plain).hexdigest()[:32]}.{suffix}"


@lru_cache(maxsize=512)
def _authorities(pem: bytes) -> bytes:
    if len(pem) > LARGEST:
        raise CertificateFault("certificate-unreadable", "ca.crt is too large")
    try:
        found = x509.load_pem_x509_certificates(pem)
        return b"".join(dict.fromkeys(certificate.public_bytes(Encoding.PEM) for certificate in found))
    except UNREADABLE as error:
        raise CertificateFault("certificate-unreadable", "ca.crt is not a PEM certificate") from error


@lru_cache(maxsize=512)
def _revocations(pem: bytes) -> bytes:
    blocks = _CRL.findall(pem) if len(pem) <= LARGEST else []
    try:
        lists = [x509.load_pem_x509_crl(block).public_bytes(Encoding.PEM) for block in blocks]
    except UNREADABLE as error:
        raise CertificateFault("certificate-unreadable", "ca.crl is not a PEM revocation list") from error
    if not lists:
        raise CertificateFault("certificate-unreadable", "ca.crl is not a PEM revocation list")
    return b"".join(lists)


def _refuse_weak(chain: bytes) -> None:
    """OpenSSL, at its usual security level, loads neither small keys nor old signatures as one's own certificate."""
    try:
        weak = any(_is_weak(certificate) for certificate in x509.load_pem_x509_certificates(chain))
    except UNREADABLE as error:
        raise CertificateFault("certificate-unreadable", "tls.crt has a part that cannot be read") from error
    if weak:
        raise CertificateFault("certificate-unreadable", "its key or signature is too weak for nginx")


def _is_weak(certificate: x509.Certificate) -> bool:
    key, signature = certificate.public_key(), certificate.signature_hash_algorithm
    small = isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < 2048
    small = small or (isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256)
    return small or (signature is not None and signature.name in _WEAK)
