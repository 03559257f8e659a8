"""`ssl-passthrough` writes nothing into the server of the host: its connections never come there (`render.stream`)."""

from __future__ import annotations

from controller.model.features.passthrough import TlsPassthrough
from controller.render.part import NOTHING, Context, Part


def render(feature: TlsPassthrough, context: Context) -> Part:
    return NOTHING
