"""Names and passwords: `auth-type` and its companions. What cannot be honoured closes the paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from controller.k8s.core import Secret
from controller.model.features import LocationFeature
from controller.model.features.authentication import BasicAuth
from controller.model.secretbytes import SecretBytes
from controller.translate import htpasswd
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.htpasswd import Users

_OBJECT = "[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_NO_DIGEST = "basic; auth-type digest is not supported; use basic over TLS or auth-url"
FILE, MAP = "auth-file", "auth-map"
_KEY = "auth"

TYPE = Annotation("auth-type", Grammar(re.compile("basic"), _NO_DIGEST, str))
SECRET = Annotation(
    "auth-secret", Grammar(re.compile(rf"(?:{_OBJECT}/)?{_OBJECT}"), "a Secret as name or namespace/name", str)
)
SECRET_TYPE = Annotation("auth-secret-type", Grammar(re.compile(f"{FILE}|{MAP}"), f"{FILE} or {MAP}", str))
_LETTER, _NO_O, _NO_F = ("[A-Za-z0-9._~/: -]", "[A-Za-np-z0-9._~/: -]", "[A-Za-eg-z0-9._~/: -]")
REALM = Annotation(
    "auth-realm",
    Grammar(
        # Three letters, one of which is none of `off`: that word would switch authentication off.
        re.compile(
            f"{_LETTER}{{1,2}}|{_LETTER}{{4,200}}"
            f"|{_NO_O}{_LETTER}{_LETTER}|{_LETTER}{_NO_F}{_LETTER}|{_LETTER}{_LETTER}{_NO_F}"
        ),
        "letters, digits, blanks and - . _ ~ / :, and not the word off",
        str,
    ),
)
ANNOTATIONS = (TYPE, SECRET, SECRET_TYPE, REALM)


def read(reader: Reader) -> Iterable[LocationFeature]:
    if not reader.text(TYPE):
        if reader.text(SECRET):
            reader.warn(SECRET, "Nobody is asked for a password without auth-type.", "Set auth-type to basic.")
        return
    kind, realm = reader.secure(SECRET_TYPE, FILE), reader.secure(REALM, "")
    reference = reader.secure(SECRET, "")
    if reader.secure(TYPE, "") != "basic" or reader.closed:
        return
    if not reference:
        reader.close(TYPE, "There is no auth-secret to take the users from.")
        return
    found = reader.secret(SECRET, reference)
    if found is None:
        where = "There is no such Secret, or it is in a namespace that may not be used from here"
        reader.close(SECRET, f"{reference!r}: {where}.", "The Secret belongs in the namespace of the Ingress.")
        return
    try:
        users = _users(found, kind)
    except ValueError as fault:
        reader.close(SECRET, f"Secret {reference} cannot be used: {fault}.")
        return
    if users.dropped:
        told = f"Secret {reference} has {users.dropped} users who cannot log in: their lines are not name:hash."
        reader.warn(SECRET, told, "Hashes are those of htpasswd -B, -5 or -m; bcrypt with a cost of 12 at most.")
    name = hashlib.sha256(f"{reader.namespace} {reference} {kind}".encode()).hexdigest()[:32]
    yield BasicAuth(reader.file(f"{name}.users", SecretBytes(users.text)), realm)


def _users(secret: Secret, kind: str) -> Users:
    """Raises `ValueError` with the reason where there are none to be had."""
    data = {key: value.reveal() for key, value in secret.data.items()}
    if kind == MAP:
        return htpasswd.of_entries(data)
    if _KEY not in data:
        raise ValueError(f"it has no key {_KEY}")
    return htpasswd.of_lines(data[_KEY])
