"""Bytes to and from the API server, by way of the official Kubernetes client. The only place that loads it.

The client does what is tedious and matters for security: kubeconfig, exec plugins, service account tokens, TLS. Its
models and its watch are not used: bodies pass as bytes, and `k8s/` decodes them 20 times faster. What goes wrong comes
out as one of the errors of `model/errors.py`; connections that are dead are found by TCP keep-alive within 30 seconds.
Tokens, certificates and authorities are followed as their files change.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.model.errors import ApiUnavailable, ApiUnreachable, UsageError
from controller.sources.answers import fault_of, lines_of
from controller.sources.base import PAGE
from controller.sources.credentials import Credentials
from controller.sources.scope import Scope
from controller.version import __version__

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio import client as api

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 30.0
LIST_TIMEOUT = 300.0
"""Seconds for one page, as long as some of it comes every `REQUEST_TIMEOUT`: a slow list is better than none."""

SILENCE = 120.0
"""Seconds without a byte after which a watch is ended. A kind that never changes has no bookmarks: that is no fault."""

RETIRED_SECONDS = 330.0
"""Longer than any request, watches too."""

ERROR_BODY = 64 << 10
"""Bytes of a refusal that are read."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000))


class Transport:
    """One connection pool to one API server. Open it with `connect`."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._files = _tls_files(credentials.configuration)
        self._client = _open_client(credentials.configuration)
        self._retired: set[asyncio.Task[None]] = set()

    async def list_page(self, scope: Scope, more: str = "", limit: int = PAGE) -> bytes:
        """One page; `more` is the token of the page before, `limit` 0 asks for all at once."""
        import aiohttp

        query = [*scope.selectors]
        query += [("limit", str(limit))] if limit else []
        query += [("continue", more)] if more else []
        timeout = aiohttp.ClientTimeout(LIST_TIMEOUT, sock_connect=CONNECT_TIMEOUT, sock_read=REQUEST_TIMEOUT)
        response = await self._request("GET", scope.path, query, None, JSON, timeout)
        with _as_ours():
            return await response.read()

    @asynccontextmanager
    async def watch(self, scope: Scope, version: str, seconds: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lines of JSON, from `version` on, for so many seconds or until silence. Entered once the server agrees."""
        import aiohttp

        query = [*scope.selectors, ("watch", "true"), ("allowWatchBookmarks", "true")]
        query += [("resourceVersion", version), ("timeoutSeconds", str(seconds))]
        # The client would end every request after 300 s, watches too, unless told otherwise.
        timeout = aiohttp.ClientTimeout(total=seconds + 15, sock_connect=CONNECT_TIMEOUT, sock_read=SILENCE)
        with _as_ours():
            async with asyncio.timeout(REQUEST_TIMEOUT):  # only what comes after the head may take longer
                response = await self._request("GET", scope.path, query, None, JSON, timeout)
        try:
            yield _ours(lines_of(response.content.iter_any()))
        finally:
            response.close()

    async def send(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> bytes:
        """The body of the answer. Raises the `Api…` errors and `ResourceExpired`."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        response = await self._request(method, path, query or [], body, content_type, timeout)
        with _as_ours():
            return await response.read()

    async def close(self) -> None:
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self._client.close()

    async def _request(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """An answer with status 2xx whose body is not read yet."""
        begun = time.monotonic()
        response = await self._answer(method, path, query, body, content_type, timeout)
        if response.status == 401 and await self._renewed(begun):
            response.release()
            response = await self._answer(method, path, query, body, content_type, timeout)
        if response.status < 300:
            return response
        with _as_ours():
            text = await _beginning_of(response)
        raise fault_of(f"{method} {path}", response.status, response.headers, text)

    async def _answer(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Asks again where TLS failed and there are other certificates by now."""
        import aiohttp

        client = self._client
        try:
            return await self._once(method, path, query, body, content_type, timeout)
        except ApiUnreachable as error:
            if not isinstance(error.__cause__, aiohttp.ClientSSLError):
                raise
            if not await self._reopened() and self._client is client:
                raise
        return await self._once(method, path, query, body, content_type, timeout)

    async def _once(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        # Compressing costs the API server ten times what reading plain bytes costs us.
        headers = {"Accept": JSON, "Content-Type": content_type, "Accept-Encoding": "identity"}
        with _as_ours():
            request = await self._client.param_serialize(
                method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await self._client.call_api(*request, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _renewed(self, since: float) -> bool:
        """Whether there are other credentials than at the time `since`."""
        with _as_ours():
            if not await self._credentials.renew(since):
                return False
        await self._reopened()
        return True

    async def _reopened(self) -> bool:
        """Whether the files hold other certificates or authorities than before; from now on those count."""
        with _as_ours():
            files = _tls_files(self._credentials.configuration)
            if files == self._files:
                return False
            opened = _open_client(self._credentials.configuration)
        self._retire(self._client)
        self._client, self._files = opened, files
        logger.info("certificates for the API server read again")
        return True

    def _retire(self, client: api.ApiClient) -> None:
        """Requests under way end as they would have: closing a client under them raises what nobody expects."""
        task = asyncio.create_task(_close_later(client), name="retired connections")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


async def connect(kubeconfig: str = "", apiserver_host: str = "") -> Transport:
    """A transport for the cluster of the kubeconfig, else for the one whose pod we are.

    Nothing is asked of the API server yet. Raises `UsageError` where there is no usable configuration.
    """
    from kubernetes.aio.client import Configuration

    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # every watch keeps a connection; the default ends at 100
    credentials = Credentials(configuration, apiserver_host)
    try:
        if kubeconfig:
            await credentials.use_kubeconfig(kubeconfig)
        elif not apiserver_host:
            await credentials.use_service_account()
        credentials.apply_host()
        return Transport(credentials)
    except (OSError, ValueError) as error:
        raise UsageError(f"the API server's TLS settings cannot be used: {error}") from error


def _open_client(configuration: api.Configuration) -> api.ApiClient:
    import aiohttp
    from kubernetes.aio.client import ApiClient
    from kubernetes.aio.client.rest import RESTClientObject

    class Rest(RESTClientObject):  # type: ignore[misc]  # the package has no types
        def _create_connector(self) -> aiohttp.TCPConnector:
            return aiohttp.TCPConnector(limit=0, ssl=self.ssl_context, socket_factory=_kept_alive_socket)

    client = ApiClient(configuration)
    client.rest_client = Rest(configuration)
    client.user_agent = f"headrace/{__version__}"
    return client


def _tls_files(configuration: api.Configuration) -> tuple[bytes, ...]:
    """What the files hold that a client reads only once."""
    paths = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    return tuple(Path(path).read_bytes() if path else b"" for path in paths)


async def _close_later(client: api.ApiClient) -> None:
    try:
        await asyncio.sleep(RETIRED_SECONDS)
    finally:
        await client.close()


async def _beginning_of(response: aiohttp.ClientResponse) -> bytes:
    """As much of the body as an error quotes, and the connection is free again."""
    text = b""
    while len(text) < ERROR_BODY and (piece := await response.content.read(ERROR_BODY - len(text))):
        text += piece
    response.release()
    return text


def _kept_alive_socket(address: Any) -> socket.socket:
    """A peer that vanished without a word is found in half a minute instead of a quarter of an hour."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:  # not every system has all of them
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


async def _ours(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    import aiohttp

    with _as_ours():
        try:
            async for line in lines:
                yield line
        except aiohttp.SocketTimeoutError:
            logger.debug("watch was silent", extra={"seconds": SILENCE})


@contextmanager
def _as_ours() -> Iterator[None]:
    """What the client and the network raise, as `ApiUnavailable` or `ApiUnreachable`."""
    import aiohttp
    from kubernetes.aio.client.exceptions import OpenApiException
    from kubernetes.aio.config import ConfigException

    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise ApiUnreachable(str(error) or type(error).__name__) from error
    except (aiohttp.ClientError, OpenApiException, ConfigException, OSError, ValueError) as error:
        raise ApiUnavailable(str(error) or type(error).__name__) from error
