"""Who answers instead of the pods: for certain statuses, and where there are no pods."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.configuration import ProxyPass
from controller.model.features import LocationFeature


@dataclass(frozen=True, slots=True)
class ErrorPages(LocationFeature):
    """Answers with one of the `codes` are replaced by what `backend` says, or `last_resort` where that is not there.

    `intercept`: also those that a pod gives, else only those that nginx makes itself. `instead` gets the requests as
    they are while the Service of the location has no endpoints.
    """

    codes: tuple[int, ...] = ()
    backend: ProxyPass | None = None
    last_resort: ProxyPass | None = None
    intercept: bool = True
    instead: ProxyPass | None = None
