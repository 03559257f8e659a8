"""TLS with the pods: `proxy-ssl-*`. A verification that cannot be done closes the paths, and is never skipped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.k8s.core import Secret
from controller.model.features import Feature
from controller.model.features.backend_tls import USUAL_PROTOCOLS, BackendTls
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families.proxying import on_off
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.authorities import authorities_of, file_name, pair_of
from controller.translate.ciphers import checked
from controller.translate.tls import CertificateFault

_LABEL = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
secret_reference = Grammar(re.compile(f"{_LABEL}/{_LABEL}"), "namespace/name of a Secret", str)
depth = Grammar(re.compile(r"\+?[0-9]{1,2}"), "a whole number from 1 to 99", lambda text: max(1, int(text)))
"""0 counts as 1."""

host_name = Grammar(
    re.compile(
        r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
    ),
    "a DNS name",
    str,
)
_PROTOCOLS = ("TLSv1.2", "TLSv1.3")
protocols = Grammar(
    re.compile(r"[A-Za-z0-9. ]{1,200}"),
    f"words of: {', '.join(_PROTOCOLS)}",
    lambda text: tuple(sorted(set(text.split()).intersection(_PROTOCOLS))) or USUAL_PROTOCOLS,
)

SECRET = Annotation("proxy-ssl-secret", secret_reference)
VERIFY = Annotation("proxy-ssl-verify", on_off)
DEPTH = Annotation("proxy-ssl-verify-depth", depth)
NAME = Annotation("proxy-ssl-name", host_name)
SERVER_NAME = Annotation("proxy-ssl-server-name", on_off)
CIPHERS = Annotation("proxy-ssl-ciphers", Grammar(re.compile(r"[A-Za-z0-9+:_!-]+"), "an OpenSSL cipher list", str))
PROTOCOLS = Annotation("proxy-ssl-protocols", protocols)
ANNOTATIONS = (SECRET, VERIFY, DEPTH, NAME, SERVER_NAME, CIPHERS, PROTOCOLS)
_NAMES = frozenset(annotation.name for annotation in ANNOTATIONS)


def read(reader: Reader) -> Iterable[Feature]:
    if _NAMES.isdisjoint(reader.named):
        return
    certificate, ca = _files(reader)
    verify = reader.secure(VERIFY, False)
    if verify and not ca and not reader.closed:
        reader.close(VERIFY, "The certificate of the pods cannot be verified without ca.crt in proxy-ssl-secret.")
    has_secret = bool(certificate or ca)
    found = BackendTls(
        certificate=certificate,
        ca=ca,
        verify=verify,
        depth=reader.value(DEPTH, 1),
        name=reader.secure(NAME, "") if verify else reader.value(NAME, ""),
        server_name=reader.value(SERVER_NAME, False),
        ciphers=cipher_list(reader, CIPHERS),
        protocols=reader.value(PROTOCOLS, USUAL_PROTOCOLS if has_secret else ()),
    )
    if found != BackendTls():
        yield found


def cipher_list(reader: Reader, annotation: Annotation[str]) -> str:
    """The list without the names that OpenSSL does not know; empty, and told, where it selects nothing."""
    text = reader.value(annotation, "")
    if not text:
        return ""
    try:
        found = checked(text)
    except ValueError as reason:
        reader.warn(annotation, f"{text[:80]!r} is not valid: {reason}.", code="annotation-invalid")
        return ""
    if found.dropped:
        reader.warn(annotation, f"OpenSSL has no such ciphers: {', '.join(found.dropped[:5])}.")
    return found.text


def _files(reader: Reader) -> tuple[str, str]:
    """The names of the files with the certificate and the authorities, empty for none."""
    reference = reader.secure(SECRET, "")
    if not reference:
        return "", ""
    secret = reader.secret(SECRET, reference)
    if secret is None:
        reader.close(SECRET, f"There is no Secret {reference}, or it may not be used from here.")
        return "", ""
    try:
        return _written(reader, secret)
    except CertificateFault as fault:
        reader.close(SECRET, f"Secret {reference} cannot be used: {fault}.")
        return "", ""


def _written(reader: Reader, secret: Secret) -> tuple[str, str]:
    pair = pair_of(secret)
    ca = authorities_of(secret) if pair is None or secret.data.get("ca.crt") else b""
    return (
        reader.file(file_name(pair, "pair"), pair) if pair else "",
        reader.file(file_name(ca, "ca"), ca) if ca else "",
    )
