"""Who has to prove who they are, and to whom."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.configuration import ProxyPass
from controller.model.features import LocationFeature


class Authentication(LocationFeature):
    """Base of what asks for a proof. Paths of `no-auth-locations` do without."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Satisfy(LocationFeature):
    """Whether any of access list, password and authentication service is enough, or all are needed."""

    any: bool


@dataclass(frozen=True, slots=True)
class BasicAuth(Authentication):
    """Name and password (RFC 7617). `users`: name of a file (`Configuration.files`) in the format of htpasswd."""

    users: str
    realm: str = ""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Where clients go that are unknown. `parameter` gets the URL they wanted; empty where `url` has one for it."""

    url: str
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """`key` holds variables of requests; each of `valid` is statuses and a time in seconds, as nginx writes them."""

    key: str
    valid: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExternalAuth(Authentication):
    """A service is asked about each request before that is handed to a pod.

    `upstream`: whom to ask, by TLS with `server_name` if `tls`. None means whoever serves the path of `uri` on the
    host of the request; `translate.own_hosts` finds out who that is before anything is rendered.
    `host`, `uri`, `request_redirect` and the values of `headers` may hold variables of closed lists.
    `response_headers`: names of headers of a good answer that the pod gets instead of the client's.
    `keep`: whether connections to the service are used again.
    """

    upstream: ProxyPass | None
    host: str
    uri: str
    tls: bool = False
    server_name: str = ""
    method: str = ""
    sign_in: SignIn | None = None
    response_headers: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    request_redirect: str = ""
    always_set_cookie: bool = False
    cache: AnswerCache | None = None
    keep: bool = True
