"""`mirror-target` and its companions. A target that is wrong in any way means no copies at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from controller.model.features import LocationFeature
from controller.model.features.mirror import Mirror
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families import proxying
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.targets import HOST, PORT, upstream_at

VARIABLES = (
    "request_uri", "uri", "document_uri", "is_args", "args", "query_string", "host", "http_host", "scheme",
    "request_method", "request_id", "remote_addr",
)  # fmt: skip
"""Those that a URL may hold. None of them can hold a line break as nginx has it, and `uri` is taken as it was sent."""

_NO_NAME = "./:~?&=%+,;@!*()-"
_TEXT = f"[A-Za-z0-9_{re.escape(_NO_NAME)}]"
_VARIABLE = rf"\$(?:{'|'.join(VARIABLES)})(?:[{re.escape(_NO_NAME)}]{_TEXT}*)?"
_REST = rf"(?:/{_TEXT}*|\$(?:request_uri|uri|document_uri)(?:[{re.escape(_NO_NAME)}]{_TEXT}*)?)(?:{_VARIABLE})*"
_URL = re.compile(rf"(https?)://({HOST})({PORT})?({_REST})?")
_PORTS = {"http": 80, "https": 443}


class MirrorUrl(NamedTuple):
    """`authority` is host and port as written."""

    scheme: str
    host: str
    port: int
    authority: str
    rest: str


def _url(text: str) -> MirrorUrl:
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(url.expected)
    scheme, host, port, rest = found.groups(default="")
    return MirrorUrl(scheme, host, int(port[1:]) if port else _PORTS[scheme], host + port, rest)


url: Grammar[MirrorUrl | None] = Grammar(
    re.compile(_URL.pattern),
    "a URL such as https://test.example.com$request_uri; variables can be in the path: $" + ", $".join(VARIABLES),
    _url,
)
anything_but_off = Grammar(re.compile(r"[^\r\n]*"), "on or off", lambda text: text != "off")

TARGET = Annotation("mirror-target", url)
HOST_HEADER = Annotation("mirror-host", proxying.host_header)
BODY = Annotation("mirror-request-body", anything_but_off)
ANNOTATIONS = (TARGET, HOST_HEADER, BODY)


def read(reader: Reader) -> Iterable[LocationFeature]:
    target = reader.value(TARGET, None)
    if target is None:
        return
    tls = target.scheme == "https"
    try:
        upstream = upstream_at(reader.resources, target.host, target.port, tls=tls)
    except ValueError as reason:
        reader.warn(TARGET, f"Nothing is mirrored: {reason}.", code="annotation-invalid")
        return
    yield Mirror(
        upstream=upstream,
        tls=tls,
        server_name=target.host.strip("[]").rstrip("."),
        host=reader.value(HOST_HEADER, "") or target.authority,
        uri=_uri(target.rest),
        body=reader.value(BODY, True),
    )


def _uri(rest: str) -> str:
    """Without a path the copy asks for what was asked for; a path without a query keeps that of the request."""
    if not rest:
        return "$request_uri"
    return rest if "?" in rest or "$" in rest else rest + "$is_args$args"
