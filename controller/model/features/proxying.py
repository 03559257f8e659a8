"""How a request is handed to the pods: times, sizes, buffers, retries, and what is changed in what the pods say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.model.features import LocationFeature


class Pair(NamedTuple):
    """Replace `old` by `new`."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Proxying(LocationFeature):
    """What differs from `MainSettings`; None is its value. Times in whole seconds, sizes as nginx writes them.

    `cookie_domain`, `cookie_path`, `redirect`: an empty tuple turns the replacement of the ConfigMap off.
    """

    connect_timeout: int | None = None
    read_timeout: int | None = None
    send_timeout: int | None = None
    body_size: str | None = None
    body_buffer_size: str | None = None
    buffering: bool | None = None
    request_buffering: bool | None = None
    buffer_size: str | None = None
    buffers_number: int | None = None
    busy_buffers_size: str | None = None
    max_temp_file_size: str | None = None
    http_version: str | None = None
    next_upstream: tuple[str, ...] | None = None
    next_upstream_timeout: int | None = None
    next_upstream_tries: int | None = None
    cookie_domain: Pair | tuple[()] | None = None
    cookie_path: Pair | tuple[()] | None = None
    redirect: Pair | tuple[()] | None = None


@dataclass(frozen=True, slots=True)
class HostHeader(LocationFeature):
    """`upstream-vhost`: the Host that the pods see. Its variables are of a closed list, which the grammar checks."""

    text: str


@dataclass(frozen=True, slots=True)
class ConnectionHeader(LocationFeature):
    """`connection-proxy-header`: `close` or `keep-alive`."""

    text: str


@dataclass(frozen=True, slots=True)
class ForwardedPrefix(LocationFeature):
    """`x-forwarded-prefix`, with `$1`..`$9` for the groups of the path; sent only where the URI is rewritten."""

    text: str
