"""Certificates that nobody can read are a fault of theirs and never one of ours.

One of them ended the controller at its start, and as a Secret it kept every build from coming to an end: cryptography
reads keys, names and signatures only when they are asked for, and says what it does not know in its own exceptions.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from controller.k8s.core import Secret
from controller.k8s.meta import ObjectMeta
from controller.model.secretbytes import SecretBytes
from controller.tests.live.objects import key_pair
from controller.translate.authorities import pair_of
from controller.translate.tls import CertificateFault, parse_pair

P256, UNKNOWN_CURVE = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030163")
DNS_NAME, X400_ADDRESS = b"\x82\x08app.test", b"\xa3\x08app.test"
ECDSA_SHA256, UNKNOWN_SIGNATURE = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040377")

Alter = Callable[[bytes], bytes]


def pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(der)


def der(chain: bytes) -> bytes:
    return x509.load_pem_x509_certificate(chain).public_bytes(Encoding.DER)


def read(chain: bytes, key: bytes) -> str:
    """How a pair is refused, as that of a host and as that of a client; empty where it is not."""
    data = {"tls.crt": SecretBytes(chain), "tls.key": SecretBytes(key)}
    try:
        parse_pair("a.b", None, chain, key)
        pair_of(Secret(metadata=ObjectMeta(name="b", namespace="a"), data=data))
    except CertificateFault as fault:
        return fault.code
    return ""


@pytest.mark.parametrize(
    ("old", "new"), [(P256, UNKNOWN_CURVE), (DNS_NAME, X400_ADDRESS), (ECDSA_SHA256, UNKNOWN_SIGNATURE)]
)
def test_a_part_that_nobody_knows(old: bytes, new: bytes) -> None:
    chain, key = key_pair("app.test")
    assert read(chain, key) == ""
    assert old in der(chain)
    assert read(pem(der(chain).replace(old, new)), key) == "certificate-unreadable"


def test_any_bit_flipped() -> None:
    chain, key = key_pair("app.test")
    chance = random.Random(6)
    found = set()
    for _ in range(1500):
        altered = bytearray(der(chain))
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
        found.add(read(pem(bytes(altered)), key))
    assert {"", "certificate-unreadable"} <= found <= {"", "certificate-unreadable", "certificate-key-mismatch"}


def test_any_bit_of_the_text_flipped() -> None:
    chain, key = key_pair("app.test")
    chance = random.Random(6)
    for _ in range(1500):
        altered = bytearray(chain + key)
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
        read(bytes(altered), bytes(altered))
