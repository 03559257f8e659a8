"""TLS that is not ended by nginx: `ssl-passthrough`."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.features import ServerFeature


@dataclass(frozen=True, slots=True)
class TlsPassthrough(ServerFeature):
    """TLS connections for the host go to the pods of its path `/` as they are."""
