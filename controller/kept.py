"""Certificates that were served before a restart: what still stands in the certificates directory.

With them a Secret that was broken meanwhile keeps its last good pair, just as it does while we run. The self-signed one
is made anew at each start and kept only where the disk takes no new one.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from controller.model.configuration import DEFAULT_CERTIFICATE, Certificate
from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.translate.tls import UNREADABLE, CertificateFault, parse_pair

logger = logging.getLogger(__name__)

SOON = 30 * 86_400
"""Seconds before its end from which the self-signed certificate of the last run is of no use."""


def kept_certificates(directory: Path) -> dict[str, Certificate]:
    """By id. Files that cannot be read or parsed are left out: they are written anew where they are needed."""
    found = {}
    for path in sorted(directory.glob("*.pem")):
        if path.stem == DEFAULT_CERTIFICATE:
            continue
        namespace, _, name = path.stem.partition(".")
        try:
            text = path.read_bytes()
            found[path.stem] = parse_pair(path.stem, ObjectKey(Kind.SECRET, namespace, name), text, text)
        except (OSError, CertificateFault) as fault:
            logger.warning("saved certificate not usable", extra={"file": path.name, "error": str(fault)})
    return found


def kept_default(directory: Path) -> SecretBytes | None:
    """The self-signed certificate of the last run; None where it is not whole or soon runs out."""
    path = directory / f"{DEFAULT_CERTIFICATE}.pem"
    try:
        text = path.read_bytes()
        pair = parse_pair(DEFAULT_CERTIFICATE, None, text, text)
        leaf = x509.load_pem_x509_certificate(text)
        leaf.verify_directly_issued_by(leaf)
        if pair.pem.reveal() != text:
            raise ValueError("not as we wrote it")
    except FileNotFoundError:
        return None
    except (OSError, CertificateFault, InvalidSignature, *UNREADABLE) as fault:
        logger.warning("saved certificate not usable", extra={"file": path.name, "error": str(fault)})
        return None
    return SecretBytes(text) if pair.not_after > time.time() + SOON else None
