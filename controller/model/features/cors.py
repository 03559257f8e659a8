"""Which other origins may read the answers of a location (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.model.features import LocationFeature


class OriginPattern(NamedTuple):
    """`scheme://host[:port]`, or `null` where all is empty. A host that begins with `*.` takes exactly one label."""

    scheme: str = ""
    host: str = ""
    port: str = ""


@dataclass(frozen=True, slots=True)
class Cors(LocationFeature):
    """`origins` None: everyone, and the answer says `*`. Else the origin of the request is echoed where it matches.

    `methods`, `headers`, `expose`: the values of the headers, empty for none. `max_age`: seconds.
    """

    origins: tuple[OriginPattern, ...] | None
    methods: str
    headers: str
    expose: str = ""
    credentials: bool = True
    max_age: int = 0
