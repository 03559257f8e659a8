"""Copies of requests."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.configuration import ProxyPass
from controller.model.features import LocationFeature


@dataclass(frozen=True, slots=True)
class Mirror(LocationFeature):
    """Each request is sent once more, and the answer is thrown away.

    `tls`: whether by HTTPS, with `server_name` as its name there. `host`: the header, which may hold variables of
    `upstream-vhost`. `uri`: path and query, with variables of `translate.annotations.families.mirror.VARIABLES`.
    `body`: whether the copy has one.
    """

    upstream: ProxyPass
    tls: bool
    server_name: str
    host: str
    uri: str
    body: bool = True
