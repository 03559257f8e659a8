"""The few writes and looks that status, Events and the Lease need, over the same connections as the watches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from controller.k8s.core import Node, Pod
from controller.k8s.lease import Lease, decode_lease, document_of
from controller.model.errors import ApiRefused, ApiUnavailable
from controller.model.refs import Kind, ObjectKey
from controller.sources.lists import list_pages
from controller.sources.scope import Scope, object_path
from controller.sources.transport import MERGE_PATCH, Transport

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


class ApiWriter:
    """Every call raises the `Api…` errors."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def patch_ingress_status(self, namespace: str, name: str, load_balancer: list[dict[str, str]]) -> None:
        """`load_balancer` are the entries of `status.loadBalancer.ingress`; none clear it."""
        path = object_path(ObjectKey(Kind.INGRESS, namespace, name)) + "/status"
        body = {"status": {"loadBalancer": {"ingress": load_balancer or None}}}
        await self._transport.send("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def create_event(self, namespace: str, body: dict[str, Any]) -> None:
        await self._transport.send("POST", f"/api/v1/namespaces/{namespace}/events", body=body)

    async def get_lease(self, namespace: str, name: str) -> Lease | None:
        """None where there is none."""
        try:
            return _lease(await self._transport.send("GET", f"{_LEASES.format(namespace)}/{name}"))
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise

    async def create_lease(self, lease: Lease) -> Lease:
        path = _LEASES.format(lease.metadata.namespace)
        return _lease(await self._transport.send("POST", path, body=document_of(lease)))

    async def replace_lease(self, lease: Lease) -> Lease:
        """Raises `ApiConflict` where the resourceVersion is not the newest one."""
        path = f"{_LEASES.format(lease.metadata.namespace)}/{lease.metadata.name}"
        return _lease(await self._transport.send("PUT", path, body=document_of(lease)))

    async def list_pods(self, namespace: str, label_selector: str) -> Sequence[Pod]:
        found = await self._list(Scope(Kind.POD, namespace, label_selector=label_selector))
        return [item for item in found if isinstance(item, Pod)]

    async def list_nodes(self) -> Sequence[Node]:
        return [item for item in await self._list(Scope(Kind.NODE)) if isinstance(item, Node)]

    async def _list(self, scope: Scope) -> list[object]:
        try:
            pages = [page async for page in list_pages(self._transport, scope)]
        except ValueError as error:
            raise ApiUnavailable(str(error)) from error
        return [item.object for page in pages for item in page.items]


def _lease(body: bytes) -> Lease:
    try:
        return decode_lease(body)
    except msgspec.DecodeError as error:
        raise ApiUnavailable(f"an answer that is no Lease: {error}") from error
