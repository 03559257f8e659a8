"""What keys of the ConfigMap name: headers in other ConfigMaps, Diffie-Hellman parameters in a Secret, key files.

What is missing or cannot be used costs that header, or that key, and nothing else. The names are remembered, so that an
object that appears later takes effect.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Iterable

from controller.model.configuration import MainSettings
from controller.model.diagnostics import Effect
from controller.model.features.response_headers import ResponseHeader
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.translate.annotations.families.response_headers import FRAMING, header_name
from controller.translate.authorities import file_name
from controller.translate.configmap.grammars import LONGEST_NAME
from controller.translate.findings import Findings
from controller.translate.logformat import has_only_known
from controller.translate.resources import Resources, split_reference

_LONGEST = 1_500
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_DECODED = re.compile(r"\$(?:\{(?:document_)?uri\}|(?:document_)?uri(?![A-Za-z0-9_]))")
_REMOTE_USER = re.compile(r"\$(?:\{remote_user\}|remote_user(?![A-Za-z0-9_]))")
"""Decoded from base64, and so it may hold a line break, as the decoded path may."""

SMALLEST_DH, LARGEST_DH = 2_048, 8_192
"""Bits: OpenSSL refuses shorter parameters at its usual level of security; longer ones cost too much time."""

_DH = re.compile(rb"-----BEGIN DH PARAMETERS-----\s(.+?)-----END DH PARAMETERS-----", re.DOTALL)


def with_named_objects(main: MainSettings, owner: ObjectKey, resources: Resources, findings: Findings) -> MainSettings:
    """The settings with what they name. `owner`: the controller's ConfigMap."""
    found = _Named(owner, resources, findings)
    return dataclasses.replace(
        main,
        response_headers=found.headers("add-headers", main.add_headers),
        request_headers=found.headers("proxy-set-headers", main.proxy_set_headers),
        ssl_dh_param_file=found.dh_parameters(main.ssl_dh_param),
        ssl_session_ticket_key_file=found.ticket_key(main),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Named:
    owner: ObjectKey
    resources: Resources
    findings: Findings

    def headers(self, key: str, reference: str) -> tuple[ResponseHeader, ...]:
        if not reference:
            return ()
        namespace, name = split_reference(reference, self.owner.namespace)
        found = self.resources.configmap(ObjectKey(Kind.CONFIG_MAP, namespace, name))
        if found is None:
            self._tell(key, f"There is no ConfigMap {reference}, so no headers are added.")
            return ()
        return tuple(self._usable(key, found.data.items()))

    def _usable(self, key: str, entries: Iterable[tuple[str, str]]) -> Iterable[ResponseHeader]:
        known: set[str] = set()
        for name, text in sorted(entries):
            fault = _fault(name, text.strip())
            if fault:
                self._tell(key, f"The header {name[:80]!r} is left out: {fault}.")
            elif name.lower() not in known:
                known.add(name.lower())
                yield ResponseHeader(name, _DECODED.sub("$request_uri", text.strip()))

    def dh_parameters(self, reference: str) -> str:
        """The name of the file with them, empty where there are none."""
        if not reference:
            return ""
        namespace, name = split_reference(reference, self.owner.namespace)
        secret = self.resources.secret(ObjectKey(Kind.SECRET, namespace, name))
        found = secret.data.get("dhparam.pem") if secret else None
        if found is None:
            self._tell("ssl-dh-param", f"There is no Secret {reference} with dhparam.pem, so those of nginx are used.")
            return ""
        try:
            content = _parameters(found.reveal())
        except ValueError as reason:
            self._tell("ssl-dh-param", f"dhparam.pem of {reference} is left out: {reason}.")
            return ""
        return self._file(content, "dh")

    def ticket_key(self, main: MainSettings) -> str:
        if main.ssl_session_ticket_key is None:
            return ""
        file = file_name(main.ssl_session_ticket_key, "ticket")
        self.resources.files[file] = main.ssl_session_ticket_key
        return file

    def _file(self, content: bytes, suffix: str) -> str:
        name = file_name(content, suffix)
        self.resources.files[name] = content
        return name

    def _tell(self, key: str, message: str) -> None:
        where = FieldPath("data").key(key)
        self.findings.warning("configmap-key-invalid", self.owner, where, message, Effect.SETTING_IGNORED)


def _fault(name: str, text: str) -> str:
    if not header_name.fullmatch(name) or len(name) > LONGEST_NAME:
        return f"it is not the name of a header of no more than {LONGEST_NAME} characters"
    if name.lower() in FRAMING:
        return "it is part of how a message is sent, and only the proxy may write it"
    if text and not _PRINTABLE.fullmatch(text):
        return "its value is not one line of printable ASCII"
    if len(text) > _LONGEST:
        return f"its value is longer than {_LONGEST} characters"
    if not has_only_known(text) or _REMOTE_USER.search(text):
        return "a $ in its value begins no variable of nginx that may be used"
    return ""


def _parameters(text: bytes) -> bytes:
    """Written anew: nginx would refuse its whole configuration for what it cannot read."""
    found = _DH.search(text)
    try:
        der = base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""
        prime, generator = _integers(der)
    except (ValueError, IndexError) as reason:
        raise ValueError("it holds no Diffie-Hellman parameters that can be read") from reason
    if not SMALLEST_DH <= prime.bit_length() <= LARGEST_DH or not prime & 1 or not 1 < generator < prime - 1:
        raise ValueError(f"it is no odd prime of {SMALLEST_DH} to {LARGEST_DH} bits with a generator")
    body = base64.encodebytes(der).replace(b"\n", b"")
    lines = (body[at : at + 64] for at in range(0, len(body), 64))
    return b"-----BEGIN DH PARAMETERS-----\n" + b"\n".join(lines) + b"\n-----END DH PARAMETERS-----\n"


def _integers(der: bytes) -> tuple[int, int]:
    """Prime and generator of a DHParameter (PKCS #3, 9): a sequence of integers, in DER (X.690, 8.1 and 8.3)."""
    tag, sequence, rest = _value(der)
    first, prime, after = _value(sequence)
    second, generator, _ = _value(after)
    if (tag, first, second) != (0x30, 2, 2) or rest:
        raise ValueError("no sequence of integers")
    return int.from_bytes(prime, signed=True), int.from_bytes(generator, signed=True)


def _value(der: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first value, and what comes after it."""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start])
    if len(der) < start + length:
        raise ValueError("it is cut off")
    return der[0], der[start : start + length], der[start + length :]
