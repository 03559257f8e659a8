"""What a host offers in its handshakes: `ssl-ciphers` and `ssl-prefer-server-ciphers`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.features import Feature
from controller.model.features.client_certificates import CipherList, CipherPreference
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families.backend_tls import cipher_list
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

CIPHERS = Annotation(
    "ssl-ciphers",
    Grammar(re.compile(r"(?:[A-Za-z0-9!:+_-]|@STRENGTH|@SECLEVEL=[0-5])+"), "an OpenSSL cipher list", str),
)
PREFERENCE = Annotation("ssl-prefer-server-ciphers", values.boolean)
ANNOTATIONS = (CIPHERS, PREFERENCE)


def read(reader: Reader) -> Iterable[Feature]:
    if ciphers := cipher_list(reader, CIPHERS):
        yield CipherList(ciphers)
    if reader.text(PREFERENCE):
        preference = reader.value(PREFERENCE, None)
        if preference is not None:
            yield CipherPreference(preference)
