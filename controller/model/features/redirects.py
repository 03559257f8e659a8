"""Answers that send the client elsewhere, and further names of a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from controller.model.features import LocationFeature, ServerFeature


@dataclass(frozen=True, slots=True)
class Redirect(LocationFeature):
    """Every request is answered with `code` and `target` as it is: nothing of the request's own URI is in it."""

    for_default_backend: ClassVar[bool] = False
    code: int
    target: str


@dataclass(frozen=True, slots=True)
class OwnRedirects(LocationFeature):
    """How nginx writes a redirect that it makes itself: `relative` without scheme and host, else `with_port`."""

    relative: bool = False
    with_port: bool = False


@dataclass(frozen=True, slots=True)
class AppRoot(ServerFeature):
    """Requests for `/` go to `path`; `with_query` keeps the arguments."""

    path: str
    with_query: bool = False


@dataclass(frozen=True, slots=True)
class OtherNames(ServerFeature):
    """`server-alias`: lower-case DNS names, a wildcard takes one label."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WwwRedirect(ServerFeature):
    """`from-to-www-redirect`: the host with or without `www.` sends everything here."""
