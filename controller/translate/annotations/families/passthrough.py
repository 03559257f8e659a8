"""Hosts whose TLS their own pods end: `ssl-passthrough`."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.features import Feature
from controller.model.features.passthrough import TlsPassthrough
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader

SSL_PASSTHROUGH = Annotation("ssl-passthrough", values.boolean)
ANNOTATIONS = (SSL_PASSTHROUGH,)


def read(reader: Reader) -> Iterable[Feature]:
    if not reader.value(SSL_PASSTHROUGH, False):
        return
    if not reader.options.enable_ssl_passthrough:
        reader.warn(
            SSL_PASSTHROUGH,
            "The controller runs without --enable-ssl-passthrough, so nginx ends the TLS of this host.",
        )
    elif not reader.options.has_stream:
        reader.warn(
            SSL_PASSTHROUGH,
            "nginx was built without the modules stream and stream_ssl_preread, so it ends the TLS of this host.",
        )
    else:
        yield TlsPassthrough()
