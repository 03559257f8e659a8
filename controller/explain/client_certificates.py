"""What a host that asks clients for certificates answers before anything else, as the renderer writes it."""

from __future__ import annotations

from typing import NamedTuple

from controller.explain.servers import server_of
from controller.model.configuration import CATCH_ALL, Configuration, Server
from controller.model.features.client_certificates import ClientCertificates


class Refusal(NamedTuple):
    status: int
    why: str


def wanted_by(server: Server) -> ClientCertificates | None:
    return next((feature for feature in server.features if isinstance(feature, ClientCertificates)), None)


def refusal_of(configuration: Configuration, server: Server, name: str | None, host: str) -> Refusal | None:
    """The answer to an HTTPS request for `host` in a handshake for `name` (None: without one), where it is refused."""
    wanted = wanted_by(server)
    if wanted and wanted.broken:
        return Refusal(403, "its settings for client certificates cannot be honoured")
    of_handshake = server_of(configuration, name)[0] if name is not None else configuration.servers[CATCH_ALL]
    if (name or "").lower().rstrip(".") == host or (server.host == CATCH_ALL and of_handshake is server):
        return None
    if _guards(server) or _guards(of_handshake):
        return Refusal(421, "the handshake is for another name, and one of the two hosts asks for client certificates")
    return None


def _guards(server: Server) -> bool:
    wanted = wanted_by(server)
    return bool(wanted and wanted.guards)
