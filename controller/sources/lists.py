"""Reading a list page by page, and which of two versions is older.

A list that goes in circles ends with an error: a broken proxy must not keep us asking for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from controller.k8s.pages import NotKubernetes, Page, decode_page
from controller.model.refs import ObjectKey
from controller.sources.base import PAGE, Api
from controller.sources.scope import Scope


async def list_pages(api: Api, scope: Scope, limit: int = PAGE) -> AsyncIterator[Page]:
    """All pages of one consistent list. Raises what the transport raises, and `NotKubernetes`."""
    more, seen = "", set[ObjectKey]()
    while True:
        page = decode_page(scope.kind, await api.list_page(scope, more, limit))
        keys = {item.key for item in page.items}
        if page.more and keys <= seen and (keys or page.more == more):
            raise NotKubernetes(f"no list of {scope.kind}: its pages repeat")
        yield page
        seen |= keys
        more = page.more
        if not more:
            return


def is_older(version: str, known: str) -> bool:
    """Whether a resourceVersion comes before another. They count up; what is no number cannot be compared.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    if not (version + known).isascii() or not version.isdigit() or not known.isdigit():
        return False
    return (len(version), version) < (len(known), known)
