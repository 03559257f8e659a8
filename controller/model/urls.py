"""URLs that users write, taken apart. Variables in them are from a closed list, and in the path or the query only."""

from __future__ import annotations

from typing import NamedTuple


class UrlOfService(NamedTuple):
    """`host` is empty where the URL names the host of the request itself; `authority`: host and port as written.

    `uri`: path and query, beginning with a slash; it may hold variables, as in `authority` of a URL of one's own host.
    """

    scheme: str
    host: str
    port: int
    authority: str
    uri: str

    @property
    def tls(self) -> bool:
        return self.scheme == "https"
