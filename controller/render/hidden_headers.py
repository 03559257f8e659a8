"""Headers of pods that no client gets to see: those of all locations, and those that one location adds.

nginx hands the list down to a location as a whole or not at all, so a location that adds some writes all of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.configuration import MainSettings
from controller.model.policy import Protocol
from controller.render.quoting import NginxText, word

MODULES = {Protocol.GRPC: "grpc", Protocol.GRPCS: "grpc", Protocol.FCGI: "fastcgi"}
"""The module whose directives count, where it is not `proxy`."""

WRITTEN_BY_NGINX = frozenset({"server", "date"})
"""Headers that nginx writes itself, whatever a pod says; only the module headers-more can replace them."""


def base_hidden(main: MainSettings) -> tuple[str, ...]:
    """What is hidden everywhere, because nginx says it itself."""
    own = ["Strict-Transport-Security"] if main.hsts else []
    own += [header.name for header in main.response_headers if header.name.lower() not in WRITTEN_BY_NGINX]
    return tuple({name.lower(): name for name in (*own, *main.hide_headers)}.values())


def hide_lines(hidden: Iterable[str], main: MainSettings, protocol: Protocol) -> tuple[NginxText, ...]:
    """The complete list for a location; none where it adds nothing."""
    own = tuple(hidden)
    if not own:
        return ()
    module = MODULES.get(protocol, "proxy")
    return tuple(NginxText(f"{module}_hide_header {word(name)};") for name in dict.fromkeys((*base_hidden(main), *own)))
