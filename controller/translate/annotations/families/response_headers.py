"""`custom-headers`: a ConfigMap whose entries are headers of every answer. The operator says which names may be used.

What is not as it should be closes the paths, as it always did: such headers are often a protection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.k8s.core import ConfigMap
from controller.model.features import LocationFeature
from controller.model.features.response_headers import ResponseHeader, ResponseHeaders
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families import cors
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

_OBJECT = "[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
reference = Grammar(re.compile(rf"(?:{_OBJECT}/)?{_OBJECT}"), "a ConfigMap as name or namespace/name", str)
header_name = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_LONGEST = 1_500
"""Characters: nginx reads a line into 4,096 bytes, and some of the characters take several there."""

FRAMING = frozenset(
    """
    connection content-length keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade
    """.split()
)
"""Headers that say where a message ends, or are of one connection only (RFC 9110, 7.6.1)."""

CUSTOM_HEADERS = Annotation("custom-headers", reference)
ANNOTATIONS = (CUSTOM_HEADERS,)


def read(reader: Reader) -> Iterable[LocationFeature]:
    wanted = reader.value(CUSTOM_HEADERS, "")
    if not wanted:
        return
    found = reader.configmap(CUSTOM_HEADERS, wanted)
    if found is None:
        where = "There is no such ConfigMap, or it is in a namespace that may not be used from here"
        reader.close(CUSTOM_HEADERS, f"{wanted!r}: {where}.", "The ConfigMap belongs in the namespace of the Ingress.")
        return
    fault = next(filter(None, (_fault(*entry, reader) for entry in sorted(found.data.items()))), "")
    if fault:
        reader.close(CUSTOM_HEADERS, fault)
        return
    headers = _headers(found, reader)
    if headers:
        yield ResponseHeaders(headers)


def _fault(name: str, value: str, reader: Reader) -> str:
    if not header_name.fullmatch(name):
        return f"{name[:80]!r} is not the name of a header."
    if name not in reader.main.global_allowed_response_headers:
        return f"The header {name} is not among global-allowed-response-headers of the controller's ConfigMap."
    if name.lower() in FRAMING:
        return f"The header {name} is part of how a message is sent, and only the proxy may write it."
    if not _PRINTABLE.fullmatch(value):
        return f"The value of the header {name} is empty, or not one line of printable ASCII."
    if len(value) + 12 * value.count("$") > _LONGEST:
        return f"The value of the header {name} is too long."
    return ""


def _headers(found: ConfigMap, reader: Reader) -> tuple[ResponseHeader, ...]:
    """Each name once, whatever its case. What `enable-cors` says about other origins is not said twice."""
    entries = {name.lower(): ResponseHeader(name, value) for name, value in sorted(found.data.items())}
    if reader.text(cors.ENABLE) not in values.TRUE:
        return tuple(entries.values())
    if any(name.startswith("access-control-") for name in entries):
        reader.warn(
            CUSTOM_HEADERS, "enable-cors writes the headers Access-Control-*, so those of the ConfigMap do not."
        )
    return tuple(header for name, header in entries.items() if not name.startswith("access-control-"))
