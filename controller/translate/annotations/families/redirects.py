"""Annotations that answer with a redirect, and those that give a host further names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.features import Feature
from controller.model.features.redirects import AppRoot, OtherNames, OwnRedirects, Redirect, WwwRedirect
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.hosts import normalise_host

_URL = re.compile(r"[A-Za-z0-9._~/:,?&=-]+")
url = Grammar(_URL, "a URL of letters, digits, - . _ ~ / : , ? & and =", str)
http_url = Grammar(
    re.compile(r"https?://[A-Za-z0-9._~:-][A-Za-z0-9._~/:,?&=-]*"), "a URL that begins with http:// or https://", str
)
code = Grammar(re.compile(r"[+-]?[0-9]{1,9}"), "a whole number", int)
app_root = Grammar(
    re.compile(r"/(?:[A-Za-z0-9._~:-][A-Za-z0-9._~/:-]*)?(?:\$is_args\$args)?"),
    "a path that begins with one slash, of letters, digits and - . _ ~ / :",
    str,
)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf" *(?:\*\.)?{_LABEL}(?:\.{_LABEL})* *"
aliases = Grammar(
    re.compile(rf"{_NAME}(?:,{_NAME})*"),
    "DNS names with commas between; regular expressions are not taken, a wildcard is *.example.com",
    lambda text: tuple(sorted({normalise_host(item.strip()) for item in text.split(",")})),
)

PERMANENT = Annotation("permanent-redirect", url)
PERMANENT_CODE = Annotation("permanent-redirect-code", code)
TEMPORAL = Annotation("temporal-redirect", http_url)
TEMPORAL_CODE = Annotation("temporal-redirect-code", code)
RELATIVE = Annotation("relative-redirects", values.boolean)
WITH_PORT = Annotation("use-port-in-redirects", values.boolean)
WWW = Annotation("from-to-www-redirect", values.boolean)
APP_ROOT = Annotation("app-root", app_root)
ALIAS = Annotation("server-alias", aliases)

ANNOTATIONS = (PERMANENT, PERMANENT_CODE, TEMPORAL, TEMPORAL_CODE, RELATIVE, WITH_PORT, WWW, APP_ROOT, ALIAS)


def read(reader: Reader) -> Iterable[Feature]:
    relative = reader.value(RELATIVE, reader.main.relative_redirects)
    with_port = reader.value(WITH_PORT, reader.main.use_port_in_redirects)
    if relative or with_port:
        yield OwnRedirects(relative, with_port)
    if path := reader.value(APP_ROOT, ""):
        yield AppRoot(path.removesuffix("$is_args$args"), path.endswith("$args"))
    if names := reader.value(ALIAS, ()):
        yield OtherNames(names)
    if reader.value(WWW, False):
        yield WwwRedirect()
    yield from _redirect(reader)


def _redirect(reader: Reader) -> Iterable[Redirect]:
    """The temporal one wins where both are there; a code out of its range means the usual one, without a word."""
    for target, its_code, usual, last in (
        (TEMPORAL, TEMPORAL_CODE, 302, 307),
        (PERMANENT, PERMANENT_CODE, 301, 308),
    ):
        wanted = reader.value(its_code, usual)
        if to := reader.value(target, ""):
            yield Redirect(wanted if 300 <= wanted <= last else usual, to)
            return
