"""Faults of the outside world, caught only at the edge that can retry. A user's mistake is a Diagnostic instead.

HeadraceError
├── UsageError            wrong flags or arguments: exit code 2
├── NginxUnusable         the binary is missing, too old or lacks what the configuration needs
├── NginxRefused          `nginx -t` failed for a reason that no fragment can be blamed for
├── ProbeTimeout          the new generation did not answer in time after a reload
├── ApiUnavailable        the API server cannot be reached, or answers 5xx
│   └── ApiUnreachable    not even a connection: it costs nobody anything to try again soon
├── ApiForbidden          the API server refuses us this resource
├── ApiConflict           somebody else wrote first, or the object exists already (409)
├── ApiRefused            the API server does not take what we wrote (400, 404, 422)
└── ResourceExpired       the version that a list or watch should go on from is gone (410)
"""

from __future__ import annotations


class HeadraceError(Exception):
    """Root of the tree."""


class UsageError(HeadraceError):
    """Wrong flags or arguments; the message is for the person at the keyboard."""


class NginxUnusable(HeadraceError):
    """The nginx binary cannot be used; the message says what is missing and what to install."""


class NginxRefused(HeadraceError):
    """nginx refused a configuration and no single fragment is to blame."""


class ProbeTimeout(HeadraceError):
    """New workers did not show up before the deadline."""


class ApiUnavailable(HeadraceError):
    """The API server cannot be reached now; `retry_after` is in seconds where the server asked for it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ApiUnreachable(ApiUnavailable):
    """No connection can be made, as while the API server is being replaced."""


class ApiForbidden(HeadraceError):
    """RBAC refuses this request."""


class ApiConflict(HeadraceError):
    """Somebody else wrote first, or the object exists already (409)."""


class ApiRefused(HeadraceError):
    """The API server does not take what we wrote; to try the same again is useless."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ResourceExpired(HeadraceError):
    """The version that a list or watch should go on from is gone (410): list anew."""
