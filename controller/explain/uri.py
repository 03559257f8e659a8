"""What nginx makes of the address in a request: the host it looks up and the path it matches.

Follows nginx's own parsers (`ngx_http_parse_complex_uri`, `ngx_http_validate_host`) with `merge_slashes on`; the tests
compare with the real one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from controller.model.errors import UsageError

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(?:[^/?#@]*@)?([^/?#]*)([^#]*)", re.DOTALL)
_HOST = re.compile(r"(\[[\w.~!$&'()*+,;=:-]*\]|[\w.~!$&'()*+,;=%-]+)(?::[0-9]*)?", re.ASCII)
_METHOD = re.compile(r"[A-Z_-]+")
_ESCAPES = re.compile(rb"%([0-9A-Fa-f]{2})?")


class BadRequest(ValueError):
    """nginx answers 400; the message says why."""


@dataclass(frozen=True, slots=True)
class Url:
    """`scheme` is http or https, `authority` host and port as written, `target` what stands in the request line."""

    scheme: str
    authority: str
    target: str

    @property
    def args(self) -> str:
        return self.target.partition("?")[2]


def parse_url(url: str) -> Url:
    """The scheme may be left out (http); a fragment is dropped, as clients do. Raises `UsageError`."""
    found = _URL.fullmatch(url.partition("#")[0])
    if found is None or not found.group(2):
        raise UsageError(f"not a URL with a host: {url!r}")
    scheme = (found.group(1) or "http").lower()
    if scheme not in ("http", "https"):
        raise UsageError(f"the scheme is {scheme}, not http or https: {url!r}")
    target = found.group(3)
    return Url(scheme, found.group(2), target if target.startswith("/") else f"/{target}")


def host_of(authority: str) -> str:
    """Lower-case, without port and trailing dot, from a Host header. Raises `BadRequest`."""
    found = _HOST.fullmatch(authority)
    if found is None or ".." in authority:
        raise BadRequest(f"nginx does not take {authority!r} for a host")
    host = found.group(1).lower().removesuffix(".")
    if not host:
        raise BadRequest("the host is empty")
    return host


def check_method(method: str) -> None:
    """Raises `BadRequest` for what nginx takes for no method."""
    if not _METHOD.fullmatch(method):
        raise BadRequest(f"nginx does not take {method!r} for a method")


def server_name_indication(authority: str) -> str | None:
    """What a TLS client names in its handshake: the host, but never an address (RFC 6066, section 3)."""
    host = host_of(authority)
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return host
    return None


def normalised_path(target: str) -> bytes:
    """The path that locations are matched with: decoded, slashes merged, dots resolved. Raises `BadRequest`."""
    raw = target.partition("?")[0].encode("utf-8", "surrogateescape")
    if any(byte <= 0x20 or byte == 0x7F for byte in target.encode("utf-8", "surrogateescape")):
        raise BadRequest("a blank or control character stands in the request line")
    return _resolved(_ESCAPES.sub(_decoded, raw))


def readable(path: bytes) -> str:
    """For people: UTF-8, other bytes as `\\xff`."""
    return path.decode("utf-8", "backslashreplace")


def _decoded(escape: re.Match[bytes]) -> bytes:
    digits = escape.group(1)
    if digits is None:
        raise BadRequest("a % is not followed by two hexadecimal digits")
    if digits == b"00":
        raise BadRequest("%00 stands in the path")
    return bytes.fromhex(digits.decode())


def _resolved(path: bytes) -> bytes:
    kept: list[bytes] = []
    *segments, last = path.split(b"/")[1:]
    for segment in (*segments, last):
        if segment == b"..":
            if not kept:
                raise BadRequest("the path leads above /")
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    slash = b"/" if kept and last in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + slash
