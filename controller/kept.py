"""Certificates that were served before a restart: what still stands in the certificates directory.

With them a Secret that was broken meanwhile keeps its last good pair, just as it does while we run.
"""

from __future__ import annotations

from pathlib import Path

from controller.model.configuration import DEFAULT_CERTIFICATE, Certificate
from controller.model.refs import Kind, ObjectKey
from controller.translate.tls import CertificateFault, parse_pair


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
        except (OSError, CertificateFault):
            continue
    return found
