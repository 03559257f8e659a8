"""What keys of the ConfigMap name: headers in other ConfigMaps, Diffie-Hellman parameters in a Secret, key files.

What is missing or cannot be used costs that header, or that key, and nothing else. The names are remembered, so that an
object that appears later takes effect.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.dh import DHParameters
from cryptography.hazmat.primitives.serialization import Encoding, ParameterFormat, load_pem_parameters

from controller.model.configuration import MainSettings
from controller.model.diagnostics import Effect
from controller.model.features.response_headers import ResponseHeader
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.translate.annotations.families.response_headers import FRAMING, header_name
from controller.translate.authorities import file_name
from controller.translate.findings import Findings
from controller.translate.logformat import has_only_known
from controller.translate.resources import Resources, split_reference

_LONGEST = 1_500
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_DECODED = re.compile(r"\$(?:\{(?:document_)?uri\}|(?:document_)?uri(?![A-Za-z0-9_]))")
SMALLEST_DH = 2_048
"""Bits: OpenSSL refuses shorter parameters at its usual level of security."""


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
    if not header_name.fullmatch(name):
        return "it is not the name of a header"
    if name.lower() in FRAMING:
        return "it is part of how a message is sent, and only the proxy may write it"
    if text and not _PRINTABLE.fullmatch(text):
        return "its value is not one line of printable ASCII"
    if len(text) > _LONGEST:
        return f"its value is longer than {_LONGEST} characters"
    if not has_only_known(text):
        return "a $ in its value begins no variable of nginx that may be used"
    return ""


def _parameters(text: bytes) -> bytes:
    """Written anew: nginx would refuse its whole configuration for what it cannot read."""
    try:
        found = load_pem_parameters(text)
    except (ValueError, TypeError) as reason:
        raise ValueError("it cannot be read") from reason
    if not isinstance(found, DHParameters):
        raise ValueError("it holds no Diffie-Hellman parameters")
    if found.parameter_numbers().p.bit_length() < SMALLEST_DH:
        raise ValueError(f"it has fewer than {SMALLEST_DH} bits")
    return found.parameter_bytes(Encoding.PEM, ParameterFormat.PKCS3)
