"""Annotations about handing a request to the pods. Each one overrides the ConfigMap's key of the same name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from controller.model.configuration import MainSettings
from controller.model.features import LocationFeature
from controller.model.features.proxying import ConnectionHeader, ForwardedPrefix, HostHeader, Pair, Proxying
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def _without_blanks(text: str) -> str:
    """A size as nginx takes it: `b` for bytes is a word of the old controller, and `g` is not known everywhere."""
    plain = text.replace(" ", "").lower().removesuffix("b")
    return f"{int(plain[:-1]) * 1024}m" if plain.endswith("g") else plain


def _size(pattern: str, expected: str) -> Grammar[str]:
    return Grammar(re.compile(pattern), expected, _without_blanks)


def bytes_of(size: str) -> int:
    """`8k` as 8192."""
    unit = size[-1] if size[-1] in "kmg" else ""
    return int(size.removesuffix(unit)) * _UNITS[unit]


seconds = Grammar(re.compile(r"\+?[1-9][0-9]{0,6}"), "a whole number of seconds, 1 or more", int)
"""No unit: `60s` was never accepted. nginx refuses 0 where it would mean no time at all."""

from_zero = Grammar(re.compile(r"\+?[0-9]{1,7}"), "a whole number, 0 or more", int)

_SIZE = r"[0-9]{1,12} *[bB]?|[0-9]{1,9} *[kK]|[0-9]{1,6} *[mM]|[0-9]{1,3} *[gG]"
body_size = _size(_SIZE, "a size such as 8m, or 0")
_BUFFER = r"[1-9][0-9]{3,6} *[bB]?|[1-9][0-9]{0,3} *[kK]|(?:[1-9]|1[0-6]) *[mM]"
buffer_size = _size(_BUFFER, "a size such as 8k, from 1k to 16m")
body_buffer_size = _size(r"[1-9][0-9]{0,8} *[bB]?|[1-9][0-9]{0,5} *[kK]|[1-9][0-9]{0,2} *[mM]", "a size such as 16k")

_DOMAIN_PART = r"[A-Za-z0-9._/:-][A-Za-z0-9._~/:-]*"
_URL_PART = r"[A-Za-z0-9._/:,?&=-][A-Za-z0-9._~/:,?&=-]*"


def _pair(text: str) -> Pair | tuple[()]:
    return Pair(*text.split()) if text != "off" else ()


cookie_domain = Grammar(re.compile(rf"off|{_DOMAIN_PART} +{_DOMAIN_PART}"), "off, or two domains", _pair)
cookie_path = Grammar(re.compile(rf"off|{_URL_PART} +{_URL_PART}"), "off, or two paths", _pair)
location = Grammar(re.compile(_URL_PART), "off, default or a URL without blanks", str)

_REASONS = (
    "error", "timeout", "invalid_header", "http_500", "http_502", "http_503", "http_504", "http_403", "http_404",
    "http_429", "non_idempotent", "off",
)  # fmt: skip
_REASON = f"(?:{'|'.join(_REASONS)})"
next_upstream = Grammar(
    re.compile(rf"{_REASON}(?: {_REASON})*"),
    f"words with one blank between, of: {', '.join(_REASONS)}",
    lambda text: tuple(dict.fromkeys(text.split())),
)

_VARIABLES = r"\$(?:host|http_host|namespace|service_name|service_port)"
host_header = Grammar(
    re.compile(rf"[A-Za-z0-9._:-]*(?:{_VARIABLES}(?:[.:-][A-Za-z0-9._:-]*)?)*"),
    "a host name; variables can be $host, $http_host, $namespace, $service_name and $service_port",
    str,
)


def _word(*words: str) -> Grammar[str]:
    return Grammar(re.compile("|".join(map(re.escape, words))), f"one of: {', '.join(words)}", str)


on_off = Grammar(re.compile("on|off"), "on or off", "on".__eq__)

SETTINGS: dict[str, Annotation[Any]] = {
    "connect_timeout": Annotation("proxy-connect-timeout", seconds),
    "read_timeout": Annotation("proxy-read-timeout", seconds),
    "send_timeout": Annotation("proxy-send-timeout", seconds),
    "body_size": Annotation("proxy-body-size", body_size),
    "body_buffer_size": Annotation("client-body-buffer-size", body_buffer_size),
    "buffering": Annotation("proxy-buffering", on_off),
    "request_buffering": Annotation("proxy-request-buffering", on_off),
    "buffer_size": Annotation("proxy-buffer-size", buffer_size),
    "buffers_number": Annotation(
        "proxy-buffers-number",
        Grammar(re.compile(r"\+?(?:[2-9]|[1-9][0-9]{1,2})"), "a whole number from 2 to 999", int),
    ),
    "max_temp_file_size": Annotation("proxy-max-temp-file-size", body_size),
    "http_version": Annotation("proxy-http-version", _word("1.0", "1.1")),
    "next_upstream": Annotation("proxy-next-upstream", next_upstream),
    "next_upstream_timeout": Annotation("proxy-next-upstream-timeout", from_zero),
    "next_upstream_tries": Annotation("proxy-next-upstream-tries", from_zero),
    "cookie_domain": Annotation("proxy-cookie-domain", cookie_domain),
    "cookie_path": Annotation("proxy-cookie-path", cookie_path),
}
"""Those whose value is a field of `Proxying` as it is."""

BUSY: Annotation[str] = Annotation("proxy-busy-buffers-size", _size(_BUFFER, "a size such as 16k"))
REDIRECT_FROM = Annotation("proxy-redirect-from", location)
REDIRECT_TO = Annotation("proxy-redirect-to", location)
UPSTREAM_VHOST = Annotation("upstream-vhost", host_header)
CONNECTION = Annotation("connection-proxy-header", _word("close", "keep-alive"))
PREFIX = Annotation("x-forwarded-prefix", values.rewrite_target)

ANNOTATIONS = (*SETTINGS.values(), BUSY, REDIRECT_FROM, REDIRECT_TO, UPSTREAM_VHOST, CONNECTION, PREFIX)
_NAMES = frozenset(annotation.name for annotation in ANNOTATIONS)


def read(reader: Reader) -> Iterable[LocationFeature]:
    if _NAMES.isdisjoint(reader.named):
        return
    found: dict[str, Any] = {field: reader.value(annotation, None) for field, annotation in SETTINGS.items()}
    found["max_temp_file_size"] = _temp(reader, found)
    proxying = Proxying(**found, busy_buffers_size=_busy(reader, found), redirect=_redirect(reader))
    if any(getattr(proxying, field.name) is not None for field in fields(Proxying)):
        yield proxying
    if host := reader.value(UPSTREAM_VHOST, ""):
        yield HostHeader(host)
    if connection := reader.value(CONNECTION, ""):
        yield ConnectionHeader(connection)
    if prefix := reader.value(PREFIX, ""):
        yield ForwardedPrefix(prefix)


def _busy(reader: Reader, found: dict[str, Any]) -> str | None:
    """Between one buffer and all of them but one, or nginx would refuse its whole configuration."""
    busy: str = reader.value(BUSY, "")
    if not busy:
        return None
    size, number = buffers_of(found["buffer_size"], found["buffers_number"], reader.main)
    low, high = bytes_of(size), bytes_of(size) * (number - 1)
    if low <= bytes_of(busy) <= high:
        return busy
    reader.warn(
        BUSY,
        f"{busy} does not fit {number} buffers of {size}: it must be from {low} to {high} bytes.",
        code="annotation-invalid",
    )
    return None


def _temp(reader: Reader, found: dict[str, Any]) -> str | None:
    """Nothing, or at least one buffer, or nginx would refuse its whole configuration."""
    wanted: str | None = found["max_temp_file_size"]
    size, _ = buffers_of(found["buffer_size"], found["buffers_number"], reader.main)
    least = bytes_of(size)
    if wanted and 0 < bytes_of(wanted) < least:
        message = f"{wanted} is less than one buffer of {size}; it must be 0 or at least {least} bytes."
        reader.warn(SETTINGS["max_temp_file_size"], message, code="annotation-invalid")
        wanted = None
    return size if wanted is None and 0 < bytes_of(reader.main.proxy_max_temp_file_size) < least else wanted


def buffers_of(size: str | None, number: int | None, main: MainSettings) -> tuple[str, int]:
    return size or main.proxy_buffer_size, number or main.proxy_buffers_number


def _redirect(reader: Reader) -> Pair | tuple[()] | None:
    old, new = reader.value(REDIRECT_FROM, ""), reader.value(REDIRECT_TO, "")
    if not old and not new:
        return None
    if old in ("", "off", "default") or new in ("", "off"):
        return ()  # `default` replaces the name of an upstream, which no pod has ever heard of
    return Pair(old, new)
