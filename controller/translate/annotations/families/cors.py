"""Cross-origin requests. Who asks for them wrongly gets none: no origin is let in that nobody meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.features import LocationFeature
from controller.model.features.cors import Cors, OriginPattern
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

DEFAULT_METHODS = "GET, PUT, POST, DELETE, PATCH, OPTIONS"
DEFAULT_HEADERS = (
    "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"
)
DEFAULT_MAX_AGE = 1_728_000
_HOST = r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_ORIGIN = re.compile(rf"(?:([a-z][a-z0-9+.-]{{0,30}})://)?({_HOST})(?::([0-9]{{1,5}}))?")
_ITEM = rf" *(?:(?:\*|{_ORIGIN.pattern}) *)?"
_NAME = "[A-Za-z0-9_-]+"
_NAME_OR_STAR = rf"(?:{_NAME}|\*)"


def _items(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))


origins = Grammar(
    re.compile(rf"{_ITEM}(?:,{_ITEM})*"),
    "origins such as https://example.com or https://*.example.com:8443, null or *, with commas between",
    _items,
)
methods = Grammar(re.compile(r"[A-Za-z]+(?:[, ]+[A-Za-z]+)*[, ]*"), "methods with commas between", str)
headers = Grammar(re.compile(rf"{_NAME}(?:[, ]+{_NAME})*[, ]*"), "names of headers with commas between", str)
exposed = Grammar(
    re.compile(rf"{_NAME_OR_STAR}(?:[, ]+{_NAME_OR_STAR})*[, ]*"), "names of headers with commas between, or *", str
)
seconds = Grammar(re.compile(r"[+-]?[0-9]{1,18}"), "a whole number of seconds", int)

ENABLE = Annotation("enable-cors", values.boolean)
ORIGINS = Annotation("cors-allow-origin", origins)
METHODS = Annotation("cors-allow-methods", methods)
HEADERS = Annotation("cors-allow-headers", headers)
EXPOSE = Annotation("cors-expose-headers", exposed)
CREDENTIALS = Annotation("cors-allow-credentials", values.boolean)
MAX_AGE = Annotation("cors-max-age", seconds)

ANNOTATIONS = (ENABLE, ORIGINS, METHODS, HEADERS, EXPOSE, CREDENTIALS, MAX_AGE)
_EVERYONE = ("*",)
_NOBODY: tuple[str, ...] = ()


def read(reader: Reader) -> Iterable[LocationFeature]:
    if not reader.value(ENABLE, False):
        return
    wanted = reader.value(ORIGINS, _NOBODY) if reader.text(ORIGINS) else _EVERYONE
    allowed = None if "*" in wanted or _is_empty(reader) else _patterns(wanted, reader)
    if allowed == ():
        return
    yield Cors(
        origins=allowed,
        methods=reader.value(METHODS, DEFAULT_METHODS),
        headers=reader.value(HEADERS, DEFAULT_HEADERS),
        expose=reader.value(EXPOSE, ""),
        credentials=reader.value(CREDENTIALS, True),
        max_age=reader.value(MAX_AGE, DEFAULT_MAX_AGE),
    )


def _is_empty(reader: Reader) -> bool:
    """Commas alone mean everyone, as no value does."""
    return not reader.text(ORIGINS).strip(", ")


def _patterns(items: Iterable[str], reader: Reader) -> tuple[OriginPattern, ...]:
    found = []
    for item in items:
        scheme, host, port = _split(item)
        if item == "null":
            found.append(OriginPattern())
        elif scheme:
            found.append(OriginPattern(scheme, host.lower(), port))
        else:
            reader.warn(
                ORIGINS,
                f"{item!r} has no scheme, so it is no origin and nobody is let in by it.",
                f"Write https://{item}.",
                code="annotation-invalid",
            )
    return tuple(found)


def _split(item: str) -> tuple[str, str, str]:
    parts = _ORIGIN.fullmatch(item)
    return (parts[1] or "", parts[2], parts[3] or "") if parts else ("", "", "")
