"""Which pod gets a request: the method of an upstream, cookies that keep a client at its pod, and canaries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.model.features import LocationFeature


class Method(StrEnum):
    """How an upstream spreads requests. `EWMA` prefers pods that answer soon."""

    ROUND_ROBIN = "round_robin"
    EWMA = "ewma"
    LEAST_CONN = "least_conn"
    RANDOM = "random"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Balancing:
    """`key` of the method `HASH`: text with variables of nginx, each of them checked; `spread`: among how many pods
    the requests of one key are spread."""

    method: Method = Method.ROUND_ROBIN
    key: str = ""
    spread: int = 1


IN_TURN = Balancing()


@dataclass(frozen=True, slots=True)
class Affinity:
    """What an Ingress wants of its cookie. The path of the location stands where `path` is empty.

    `lasts`: seconds; None for as long as the browser runs. `secure`: also on plain HTTP. `same_site`: as written,
    empty for none. `only_capable`: browsers that mishandle `SameSite=None` do not get it. `renewed`: a client whose
    pod failed gets a new cookie at once, for which every answer carries one.
    """

    name: str = "INGRESSCOOKIE"
    path: str = ""
    domain: str = ""
    lasts: int | None = None
    secure: bool = False
    same_site: str = ""
    only_capable: bool = False
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Sticks:
    """How an upstream keeps clients at their pods: by the cookie that it `gives`, or that another one gave.

    `mark`: what the value begins with where the pods are those of a canary. `path` is the cookie's, percent-encoded.
    `secure`: whether the cookie is for HTTPS alone. What the cookie says besides counts only where it is given.
    """

    affinity: Affinity
    mark: str = ""
    gives: bool = False
    path: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Stickiness(LocationFeature):
    """The upstreams of a sticky location, by their ids: for clients whose cookie names a pod, and for all others.

    `cookie`: its name. `known` is empty where every answer carries the cookie.
    """

    cookie: str
    mark: str
    known: str
    new: str
    new_over_tls: str


@dataclass(frozen=True, slots=True)
class CanaryRules:
    """Who gets the canary: by header, then by cookie, then `weight` of `total` requests.

    `header_value` is compared as it is, `header_pattern` (PCRE) searched; without them the header says always or never.
    `sticky`: a client whose cookie names a pod stays with the canary, or without it, whatever the rules say.
    """

    header: str = ""
    header_value: str = ""
    header_pattern: str = ""
    cookie: str = ""
    weight: int = 0
    total: int = 100
    sticky: bool = True


@dataclass(frozen=True, slots=True)
class Canary(LocationFeature):
    """Pods that get some of the requests of a location. `upstream`: their id, `stickiness`: where they are sticky.

    `namespace`, `ingress`, `service`, `port` and `dns_port` are what logs, metrics and the hold know it by.
    `otherwise`: who answers while the canary has no pods, as `dns-port.service.namespace`. `binding`: the cookie that
    keeps a client where it was first served, and `mark` what it begins with for the canary.
    """

    rules: CanaryRules
    upstream: str
    namespace: str
    ingress: str
    service: str
    port: str
    dns_port: str
    otherwise: str = ""
    binding: str = ""
    mark: str = ""
    stickiness: Stickiness | None = None
