"""Headers that answers of a location carry besides those of the pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.model.features import LocationFeature


class ResponseHeader(NamedTuple):
    """A header of letters, digits, hyphens and underscores; the value is printable ASCII, taken literally."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ResponseHeaders(LocationFeature):
    """`custom-headers`: sent with every status, in the place of what the pod says."""

    headers: tuple[ResponseHeader, ...]
