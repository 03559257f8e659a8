"""Certificates of clients: `auth-tls-*`, for the whole host. What cannot be honoured closes it with 403.

The setting of the oldest Ingress of a host that has one counts. A younger one that is broken closes its own paths
alone, for they would be served under the other's rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.diagnostics import Effect
from controller.model.features import Feature
from controller.model.features.client_certificates import ClientCertificates, Verify
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families.backend_tls import depth, secret_reference
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.authorities import authorities_of, file_name, revocations_of
from controller.translate.tls import CertificateFault

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PATH = r"/[A-Za-z0-9._~/:@!+,=&%()*-]{0,1000}"


def _compiled(text: str) -> str:
    """The expression, where Python and PCRE both take it: neither inline options nor escapes of one of them only."""
    if re.search(r"\(\?(?![:=!])", text) or re.search(r"\\(?![dDwWsSbB]|[^A-Za-z0-9])", text):
        raise ValueError("expected groups as ( or (?: and of escapes \\d \\w \\s \\b and those of signs")
    if re.search(r"\[\^?\[|\[([:.=]).*\1\]", text):
        raise ValueError("expected sets without sets or classes in them")
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"it is not a regular expression: {error.msg}") from error
    return text


SECRET = Annotation("auth-tls-secret", secret_reference)
VERIFY = Annotation(
    "auth-tls-verify-client", Grammar(re.compile("|".join(Verify)), f"one of {', '.join(Verify)}", Verify)
)
DEPTH = Annotation("auth-tls-verify-depth", depth)
ERROR_PAGE = Annotation(
    "auth-tls-error-page",
    Grammar(
        re.compile(f"(?:https?://)?{_HOST}(?:{_PATH})?|{_PATH}"),
        "a URL without a query, or a path of the host",
        lambda text: text if text.startswith(("/", "http://", "https://")) else f"https://{text}",
    ),
)
PASS = Annotation("auth-tls-pass-certificate-to-upstream", values.boolean)
MATCH_CN = Annotation(
    "auth-tls-match-cn",
    Grammar(
        re.compile(r"CN=[A-Za-z0-9 _.,:/@=+*?|()\[\]^$\\{}&!%~-]{1,253}"),
        "CN= and a regular expression, 256 characters at most",
        _compiled,
    ),
)
ANNOTATIONS = (SECRET, VERIFY, DEPTH, ERROR_PAGE, PASS, MATCH_CN)

BROKEN = ClientCertificates(broken=True)
_TOLD = "Nothing of the host is served over HTTPS (403), and the paths of this Ingress not at all."


def read(reader: Reader) -> Iterable[Feature]:
    reference = reader.text(SECRET)
    if not reference:
        return
    try:
        ca, crl = _files(reader, SECRET.grammar(reference))
    except ValueError as reason:
        yield _broken(reader, SECRET, str(reason))
        return
    try:
        match_cn = MATCH_CN.grammar(reader.text(MATCH_CN)) if reader.text(MATCH_CN) else ""
    except ValueError as reason:
        yield _broken(reader, MATCH_CN, f"{reader.text(MATCH_CN)[:80]!r} is not valid: {reason}")
        return
    yield ClientCertificates(
        ca=ca,
        crl=crl,
        verify=reader.value(VERIFY, Verify.ON),
        depth=reader.value(DEPTH, 1),
        error_page=reader.value(ERROR_PAGE, ""),
        pass_certificate=reader.value(PASS, False),
        match_cn=match_cn,
    )


def _broken(reader: Reader, annotation: Annotation[str], reason: str) -> ClientCertificates:
    message = f"Clients cannot be asked for certificates: {reason}. {_TOLD}"
    reader.error(annotation, message, Effect.HOST_UNSERVED, code="annotation-closes-route")
    return BROKEN


def _files(reader: Reader, reference: str) -> tuple[str, str]:
    """The names of the files with authorities and revocations. Raises `ValueError` where they cannot be had."""
    secret = reader.secret(SECRET, reference)
    if secret is None:
        raise ValueError(f"there is no Secret {reference}, or it may not be used from here")
    try:
        ca, crl = authorities_of(secret), revocations_of(secret)
    except CertificateFault as fault:
        raise ValueError(f"Secret {reference} cannot be used: {fault}") from fault
    return reader.file(file_name(ca, "ca"), ca), reader.file(file_name(crl, "crl"), crl) if crl else ""
