"""Annotations about the cookie that keeps a client at its pod."""

from __future__ import annotations

import re

from controller.model.features.balancing import Affinity
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families import balancing
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

cookie_name = Grammar(
    re.compile(r"[A-Za-z0-9._~-]{1,64}"), "a cookie name of at most 64 letters, digits and - . _ ~", str
)
cookie_path = Grammar(
    re.compile(r"/[A-Za-z0-9._~/:?&=-]*"),
    "a path that begins with a slash, of letters, digits and - . _ ~ / : ? & =",
    str,
)
cookie_domain = Grammar(re.compile(rf"\.?{_LABEL}(?:\.{_LABEL})*"), "a DNS name", str)
lifetime = Grammar(re.compile(r"[+-]?0*[0-9]{1,9}"), "a whole number of seconds", int)
same_site = Grammar(re.compile("[Nn][Oo][Nn][Ee]|[Ll][Aa][Xx]|[Ss][Tt][Rr][Ii][Cc][Tt]"), "None, Lax or Strict", str)

AFFINITY = Annotation("affinity", Grammar(re.compile("cookie"), "cookie", str))
MODE = Annotation("affinity-mode", Grammar(re.compile("balanced|persistent"), "balanced or persistent", str))
NAME = Annotation("session-cookie-name", cookie_name)
PATH = Annotation("session-cookie-path", cookie_path)
DOMAIN = Annotation("session-cookie-domain", cookie_domain)
EXPIRES = Annotation("session-cookie-expires", lifetime)
MAX_AGE = Annotation("session-cookie-max-age", lifetime)
SECURE = Annotation("session-cookie-secure", values.boolean)
SAME_SITE = Annotation("session-cookie-samesite", same_site)
ONLY_CAPABLE = Annotation("session-cookie-conditional-samesite-none", values.boolean)
CHANGE_ON_FAILURE = Annotation("session-cookie-change-on-failure", values.boolean)

ANNOTATIONS = (
    AFFINITY, MODE, NAME, PATH, DOMAIN, EXPIRES, MAX_AGE, SECURE, SAME_SITE, ONLY_CAPABLE, CHANGE_ON_FAILURE,
)  # fmt: skip
USUAL_NAME = "INGRESSCOOKIE"


def of_ingress(reader: Reader) -> Affinity | None:
    """None where clients need not stay. Both modes come to the same: a client stays while its pod is there."""
    wanted = reader.value(AFFINITY, "") or balancing.sticks_by_method(reader)
    reader.value(MODE, "")
    found = Affinity(
        name=reader.value(NAME, USUAL_NAME),
        path=reader.value(PATH, ""),
        domain=reader.value(DOMAIN, ""),
        lasts=_lifetime(reader),
        secure=reader.value(SECURE, False),
        same_site=reader.value(SAME_SITE, ""),
        only_capable=reader.value(ONLY_CAPABLE, False),
        renewed=reader.value(CHANGE_ON_FAILURE, False),
    )
    return found if wanted else None


def _lifetime(reader: Reader) -> int | None:
    """nginx writes Expires and Max-Age alike, and browsers heed Max-Age where both are there."""
    expires, max_age = reader.value(EXPIRES, None), reader.value(MAX_AGE, None)
    chosen = expires if max_age is None else max_age
    return None if chosen is None else max(chosen, 0)
