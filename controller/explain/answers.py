"""Answers that nginx gives by itself before a backend is asked: redirects to HTTPS, and rewritten addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from controller.explain.features import redirect_of
from controller.explain.pcre import compile_pcre
from controller.explain.uri import Url, readable
from controller.model.configuration import Location, MainSettings, Server
from controller.model.policy import HttpsRedirect, Rewrite

_PROTO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_REDIRECT_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]+)?")
_GROUP = re.compile(rb"\$([1-9])")
_ABROAD = ("http://", "https://", "$scheme")


class Rewritten(NamedTuple):
    """What the backend is asked for, decoded; or, where `redirect` is set, where the client is sent (302)."""

    uri: str
    redirect: bool = False


def effective_scheme(url: Url, headers: Mapping[str, str], main: MainSettings) -> str:
    """As redirects see it: a trusted X-Forwarded-Proto, else that of the listener."""
    forwarded = headers.get("x-forwarded-proto", "")
    trusted = main.use_forwarded_headers and _PROTO.fullmatch(forwarded)
    return forwarded.lower() if trusted else url.scheme


def redirect_location(
    location: Location, url: Url, host: str, headers: Mapping[str, str], main: MainSettings, https_port: int
) -> str:
    """Where a plain-HTTP request is sent; empty where it is served."""
    if location.policy.https_redirect is HttpsRedirect.NEVER or effective_scheme(url, headers, main) != "http":
        return ""
    port = "" if https_port == 443 else f":{https_port}"
    target = url.target if location.policy.preserve_trailing_slash else url.target.removesuffix("/")
    return f"https://{_redirect_host(host, headers, main)}{port}{target}"


def redirects_as_one(server: Server) -> bool:
    """Whether every location redirects alike, so that the server does it before it looks at any of them."""
    every = (*server.locations, server.fallback)
    policies = {(location.policy.https_redirect, location.policy.preserve_trailing_slash) for location in every}
    if any(redirect_of(location) for location in every):
        return False
    return len(policies) == 1 and server.fallback.policy.https_redirect is HttpsRedirect.ALWAYS


def rewritten(rewrite: Rewrite, path: bytes, args: str) -> Rewritten | None:
    """The address after `rewrite-target`; None where its expression does not match. Raises `Undecidable`.

    The whole path is replaced, whatever part of it matched; arguments are kept unless the target ends in `?`.
    """
    found = compile_pcre(rewrite.pattern).search(path)
    if found is None:
        return None
    target = (rewrite.target or "/").encode("utf-8", "surrogateescape")
    text = readable(_GROUP.sub(lambda group: _value(found, int(group.group(1))), target))
    new, mark, own_args = text.partition("?")
    both = "&".join(part for part in (own_args, args) if part) if own_args or not mark else ""
    return Rewritten(f"{new}?{both}" if both else new, rewrite.target.startswith(_ABROAD))


def _value(found: re.Match[bytes], group: int) -> bytes:
    return (found.group(group) or b"") if group <= found.re.groups else b""


def _redirect_host(host: str, headers: Mapping[str, str], main: MainSettings) -> str:
    forwarded = headers.get("x-forwarded-host", "") if main.use_forwarded_headers else ""
    first = re.match(r"[^,\s]+", forwarded)
    bare = _REDIRECT_HOST.fullmatch(first.group()) if first else None
    return bare.group(1) if bare else host
