"""What a broken Secret leaves behind."""

from __future__ import annotations

import weakref

import pytest

from controller.k8s.core import Secret
from controller.k8s.meta import ObjectMeta
from controller.model.secretbytes import SecretBytes
from controller.translate.tls import CertificateCache, CertificateFault


class Build:
    """Something that a build knows."""


def test_a_broken_secret_keeps_no_build_alive() -> None:
    """A fault that is raised again and again would keep the frames of every build, and with them every snapshot."""
    cache = CertificateCache()
    data = {"tls.crt": SecretBytes(b"x"), "tls.key": SecretBytes(b"y")}
    secret = Secret(metadata=ObjectMeta(name="broken", namespace="default"), data=data)

    def build() -> weakref.ref[Build]:
        known = Build()
        with pytest.raises(CertificateFault, match="not a PEM certificate"):
            cache.certificate_of(secret)
        return weakref.ref(known)

    for _ in range(3):
        assert build()() is None
    (fault,) = (fault for _, fault in cache.parsed.values())
    assert isinstance(fault, CertificateFault)
    assert fault.__traceback__ is None and fault.__cause__ is None
