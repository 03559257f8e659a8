"""An authentication service is asked about each request: `auth-url` and its companions, `global-auth-*` for everyone.

Whatever cannot be honoured closes the paths, but for connections that are kept: without them the service is asked all
the same. Of `global-auth-*` the page to sign in at and the cache of answers are ignored, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from controller.model.configuration import Idle, ProxyPass
from controller.model.features import LocationFeature
from controller.model.features.authentication import AnswerCache, ExternalAuth, SignIn
from controller.model.refs import FieldPath
from controller.model.urls import UrlOfService
from controller.translate.annotations import values, variables
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families import response_headers
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.targets import HOST, PORT, upstream_at

_OWN_HOST = r"\$(?:host|http_host|best_http_host)"
_URL = re.compile(rf"(https?)://(?:({HOST})({PORT})?|({_OWN_HOST}))({variables.REST})?")
_PORTS = {"http": 80, "https": 443}
_METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|CONNECT|OPTIONS|TRACE"
_NAME = "[A-Za-z0-9_-]{1,128}"
_TIME = "[0-9]{1,6}(?:ms|[smhdwMy])"
_VALID = rf" *(?:[1-5][0-9]{{2}} +)*(?:[0-9]{{1,6}}|{_TIME}(?: +{_TIME})*) *"
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}
DEFAULT_CACHED = ("200 202 401 300s",)
DEFAULT_PARAMETER = "rd"


def _url(text: str) -> UrlOfService:
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(url.expected)
    scheme, host, port, own, rest = found.groups(default="")
    uri = rest if rest.startswith(("/", "$")) else f"/{rest}"
    number = int(port[1:]) if port else _PORTS[scheme]
    return UrlOfService(scheme, host, number, own or host + port, uri)


def _valid(text: str) -> tuple[str, ...]:
    return tuple(_valid_for(item.split()) for item in text.split(","))


def _valid_for(words: list[str]) -> str:
    """Statuses and a time in whole seconds: nginx wants one word for that, and knows no milliseconds here."""
    times = next(n for n, word in enumerate(words) if n == len(words) - 1 or not word.isdigit())
    total = sum(_seconds(word) for word in words[times:])
    return " ".join((*words[:times], f"{-int(-total // 1)}s"))


def _seconds(word: str) -> float:
    number = re.match("[0-9]+", word)
    digits = number[0] if number else "0"
    return int(digits) * _SECONDS[word[len(digits) :] or "s"]


def _key(text: str) -> str:
    """Without blanks, and each variable in braces, so that its name ends where it did."""
    return re.sub(r"\$([A-Za-z0-9_]+)", r"${\1}", text).replace(" ", "")


def _copied(text: str) -> tuple[str, ...]:
    names = {name.strip().lower(): name.strip() for name in text.split(",") if name.strip()}
    framing = sorted(names.keys() & response_headers.FRAMING)
    if framing:
        raise ValueError(f"{framing[0]} is part of how a message is sent")
    return tuple(names.values())


url = Grammar(
    re.compile(_URL.pattern),
    "a URL such as https://auth.example.com/check; variables can be in its path and query, and $host can be its host",
    _url,
)
signin_url = Grammar(url.pattern, url.expected, str)
method = Grammar(re.compile(_METHODS), f"one of {', '.join(_METHODS.split('|'))}", str)
parameter = Grammar(re.compile("[A-Za-z0-9._~-]{1,100}"), "the name of a parameter", str)
copied_headers = Grammar(
    re.compile(rf" *{_NAME} *(?:, *{_NAME} *)*,? *"),
    "names of headers with commas between",
    _copied,
)
request_redirect = Grammar(re.compile(variables.TEXT), "a URL or a path without blanks; variables can be in it", str)
cache_key = Grammar(re.compile(variables.KEY), "words and variables such as $cookie_name$http_authorization", _key)
durations = Grammar(re.compile(rf"{_VALID}(?:,{_VALID})*"), "statuses and a time such as 200 202 5m, 401 30s", _valid)
number = Grammar(re.compile(r"[+-]?[0-9]{1,6}"), "a whole number", lambda text: max(0, int(text)))

URL = Annotation("auth-url", url)
METHOD = Annotation("auth-method", method)
SIGN_IN = Annotation("auth-signin", signin_url)
PARAMETER = Annotation("auth-signin-redirect-param", parameter)
RESPONSE_HEADERS = Annotation("auth-response-headers", copied_headers)
HEADERS = Annotation("auth-proxy-set-headers", response_headers.reference)
REQUEST_REDIRECT = Annotation("auth-request-redirect", request_redirect)
ALWAYS_SET_COOKIE = Annotation("auth-always-set-cookie", values.boolean)
CACHE_KEY = Annotation("auth-cache-key", cache_key)
CACHE_DURATION = Annotation("auth-cache-duration", durations)
KEEP = Annotation("auth-keepalive", number)
KEEP_REQUESTS = Annotation("auth-keepalive-requests", number)
KEEP_TIMEOUT = Annotation("auth-keepalive-timeout", number)
SHARE_VARIABLES = Annotation("auth-keepalive-share-vars", values.boolean)
ENABLE_GLOBAL = Annotation("enable-global-auth", values.boolean)
ANNOTATIONS = (
    URL, METHOD, SIGN_IN, PARAMETER, RESPONSE_HEADERS, HEADERS, REQUEST_REDIRECT, ALWAYS_SET_COOKIE, CACHE_KEY,
    CACHE_DURATION, KEEP, KEEP_REQUESTS, KEEP_TIMEOUT, SHARE_VARIABLES, ENABLE_GLOBAL,
)  # fmt: skip
GLOBAL_URL = "global-auth-url"
MOST_IDLE = 1024
"""nginx sets memory aside for each."""


def read(reader: Reader) -> Iterable[LocationFeature]:
    globally = reader.value(ENABLE_GLOBAL, True)
    found = _own(reader) if reader.text(URL) else _everyones(reader) if globally else None
    if found is not None:
        yield found


def is_for(reader: Reader) -> bool:
    """Whether `global-auth-url` is for this Ingress."""
    return not reader.text(URL) and reader.value(ENABLE_GLOBAL, True)


class _Place(NamedTuple):
    """Whom to ask: `upstream` is None for whoever serves the path on the host of the request."""

    upstream: ProxyPass | None
    host: str
    server_name: str


def _own(reader: Reader) -> ExternalAuth | None:
    target = reader.secure(URL, None)
    headers = _headers(reader)
    sign_in = reader.secure(SIGN_IN, "")
    key, valid = reader.secure(CACHE_KEY, ""), reader.secure(CACHE_DURATION, DEFAULT_CACHED)
    keep, idle = _kept(reader)
    wanted = ExternalAuth(
        upstream=None,
        host="",
        uri="",
        method=reader.secure(METHOD, ""),
        sign_in=_sign_in(sign_in, reader.secure(PARAMETER, DEFAULT_PARAMETER)),
        response_headers=reader.secure(RESPONSE_HEADERS, ()),
        headers=headers,
        request_redirect=reader.secure(REQUEST_REDIRECT, ""),
        always_set_cookie=reader.secure(ALWAYS_SET_COOKIE, False),
        cache=AnswerCache(key, valid) if key else None,
        keep=keep,
    )
    if key and "$" not in key:
        told = "The key is the same for all clients, so they share one answer of the service."
        reader.warn(CACHE_KEY, told, "Use a variable such as $cookie_name or $http_authorization.")
    if target is None or reader.closed:
        return None
    try:
        return _asked_at(target, wanted, reader, idle)
    except ValueError as reason:
        reader.close(URL, f"The authentication service cannot be asked: {reason}.")
        return None


def _everyones(reader: Reader) -> ExternalAuth | None:
    main = reader.main
    target = main.global_auth_url
    if target is None:
        return None
    key = main.global_auth_cache_key
    wanted = ExternalAuth(
        upstream=None,
        host="",
        uri="",
        method=main.global_auth_method,
        sign_in=_sign_in(main.global_auth_signin, main.global_auth_signin_redirect_param),
        response_headers=main.global_auth_response_headers,
        request_redirect=main.global_auth_request_redirect,
        always_set_cookie=main.global_auth_always_set_cookie,
        cache=AnswerCache(key, main.global_auth_cache_duration) if key else None,
    )
    try:
        return _asked_at(target, wanted, reader, None)
    except ValueError as reason:
        where = FieldPath("data").key(GLOBAL_URL)
        message = f"The authentication service cannot be asked: {reason}. Every route but those with " \
                  'enable-global-auth: "false" answers 503.'  # fmt: skip
        reader.close_by(reader.options.configmap or reader.key, where, message)
        return None


def _asked_at(target: UrlOfService, wanted: ExternalAuth, reader: Reader, idle: Idle | None) -> ExternalAuth:
    """Raises `ValueError` with the reason where no route may lead there."""
    place = _place(target, reader, idle)
    return replace(
        wanted,
        upstream=place.upstream,
        host=place.host,
        uri=target.uri,
        tls=target.tls,
        server_name=place.server_name,
    )


def _place(target: UrlOfService, reader: Reader, idle: Idle | None) -> _Place:
    if target.host:
        upstream = upstream_at(reader.resources, target.host, target.port, tls=target.tls, idle=idle)
        return _Place(upstream, target.authority, target.host.strip("[]").rstrip("."))
    if "$" in target.uri.partition("?")[0]:
        raise ValueError("on the host of the request itself it needs a path without variables")
    return _Place(None, target.authority, "")


def _sign_in(text: str, parameter: str) -> SignIn | None:
    """The parameter is left out where the URL has it already."""
    if not text:
        return None
    written = text.partition("?")[2]
    has = any(part.startswith(f"{parameter}=") and part != f"{parameter}=" for part in written.split("&"))
    return SignIn(text, "" if has else parameter)


def _kept(reader: Reader) -> tuple[bool, Idle | None]:
    """Whether connections are kept, and how, where that is not as for all upstreams."""
    reader.value(SHARE_VARIABLES, True)  # the request and what is asked about it always share them
    connections = reader.value(KEEP, None)
    if connections is None:
        return True, None
    idle = Idle(min(connections, MOST_IDLE), reader.value(KEEP_REQUESTS, 1000), reader.value(KEEP_TIMEOUT, 60))
    return (True, idle) if all(idle) else (False, Idle(0, 0, 0))


def _headers(reader: Reader) -> tuple[tuple[str, str], ...]:
    reference = reader.secure(HEADERS, "")
    if not reference:
        return ()
    found = reader.configmap(HEADERS, reference)
    if found is None:
        where = "There is no such ConfigMap, or it is in a namespace that may not be used from here"
        reader.close(HEADERS, f"{reference!r}: {where}.", "The ConfigMap belongs in the namespace of the Ingress.")
        return ()
    entries = tuple(sorted(found.data.items()))
    fault = next(filter(None, (_fault_of(name, value) for name, value in entries)), "")
    if fault:
        reader.close(HEADERS, f"The ConfigMap {reference} cannot be used: {fault}.")
    return tuple({name.lower(): (name, value) for name, value in entries}.values())


def _fault_of(name: str, value: str) -> str:
    if not re.fullmatch(_NAME, name):
        return f"{name[:80]!r} is not the name of a header"
    if name.lower() in response_headers.FRAMING:
        return f"the header {name} is part of how a message is sent"
    if not re.fullmatch(r"[\x20-\x7e]{0,1500}", value):
        return f"the value of the header {name} is not one line of printable ASCII"
    if not variables.has_only_known(value):
        return f"the value of the header {name} has a variable that cannot be used"
    return ""
