"""Bytes to and from the API server, by way of the official Kubernetes client. The only place that loads it.

The client does what is tedious and matters for security: kubeconfig, exec plugins, service account tokens, TLS. Its
models and its watch are not used: bodies pass as bytes, and `k8s/` decodes them 20 times faster. What goes wrong comes
out as one of the errors of `model/errors.py`; connections that are dead are found by TCP keep-alive within 30 seconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from controller.model.errors import ApiUnavailable, ApiUnreachable, UsageError
from controller.sources.answers import fault_of, lines_of
from controller.sources.base import PAGE
from controller.sources.scope import Scope
from controller.version import __version__

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio import client as api

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 30.0
SILENCE = 120.0
"""Seconds without a byte after which a watch is ended. A kind that never changes has no bookmarks: that is no fault."""

CREDENTIALS_AGE = 60.0
"""Seconds after which credentials that may change are looked at again."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000))


class Transport:
    """One connection pool to one API server. Open it with `connect`."""

    def __init__(self, credentials: _Credentials) -> None:
        self._credentials = credentials
        self._client = _open_client(credentials.configuration)

    async def list_page(self, scope: Scope, more: str = "", limit: int = PAGE) -> bytes:
        """One page; `more` is the token of the page before, `limit` 0 asks for all at once."""
        query = [*scope.selectors]
        query += [("limit", str(limit))] if limit else []
        query += [("continue", more)] if more else []
        return await self.send("GET", scope.path, query)

    @asynccontextmanager
    async def watch(self, scope: Scope, version: str, seconds: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lines of JSON, from `version` on, for so many seconds or until silence. Entered once the server agrees."""
        import aiohttp

        query = [*scope.selectors, ("watch", "true"), ("allowWatchBookmarks", "true")]
        query += [("resourceVersion", version), ("timeoutSeconds", str(seconds))]
        # The client would end every request after 300 s, watches too, unless told otherwise.
        timeout = aiohttp.ClientTimeout(total=seconds + 15, sock_connect=CONNECT_TIMEOUT, sock_read=SILENCE)
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
        response = await self._once(method, path, query, body, content_type, timeout)
        if response.status == 401 and await self._renewed(begun):
            response.release()
            response = await self._once(method, path, query, body, content_type, timeout)
        if response.status < 300:
            return response
        with _as_ours():
            text = await response.read()
        raise fault_of(f"{method} {path}", response.status, response.headers, text)

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
            certificate = self._credentials.configuration.cert_file
            if not await self._credentials.renew(since):
                return False
        if self._credentials.configuration.cert_file != certificate:
            old, self._client = self._client, _open_client(self._credentials.configuration)
            await old.close()
        return True


async def connect(kubeconfig: str = "", apiserver_host: str = "") -> Transport:
    """A transport for the cluster of the kubeconfig, else for the one whose pod we are.

    Nothing is asked of the API server yet. Raises `UsageError` where there is no usable configuration.
    """
    from kubernetes.aio.client import Configuration

    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # every watch keeps a connection; the default ends at 100
    credentials = _Credentials(configuration, apiserver_host)
    try:
        if kubeconfig:
            await credentials.use_kubeconfig(kubeconfig)
        elif not apiserver_host:
            await credentials.use_service_account()
        credentials.apply_host()
        return Transport(credentials)
    except (OSError, ValueError) as error:
        raise UsageError(f"the API server's TLS settings cannot be used: {error}") from error


class _Credentials:
    """How we say who we are, kept fresh. The client asks before every request."""

    def __init__(self, configuration: api.Configuration, host: str) -> None:
        self.configuration = configuration
        self._host = host
        self._load: Callable[[bool], Awaitable[None]] | None = None
        self._read_at = 0.0
        self._turn = asyncio.Lock()  # only so that an exec plugin runs once, however many requests find a stale token

    async def use_kubeconfig(self, path: str) -> None:
        """Raises `UsageError`."""
        from kubernetes.aio.config import ConfigException, load_kube_config

        _must_exist(path)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                loader = await load_kube_config(path, client_configuration=self.configuration, persist_config=False)
        except (ConfigException, yaml.YAMLError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"kubeconfig {path} cannot be used: {error}") from error
        user = loader._user or {}
        if "exec" in user and not (self.configuration.api_key or self.configuration.cert_file):
            raise UsageError(f"kubeconfig {path}: its exec plugin gave no credentials (its error is in the log)")
        self._strip()

        async def load(force: bool) -> None:
            if "exec" in user and force:
                loader.exec_plugin_expiry = _LONG_AGO
            elif "exec" in user and not hasattr(loader, "exec_plugin_expiry"):
                return  # a plugin that names no end is asked again when the API server says no, as kubectl does
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await loader.load_and_set(self.configuration)

        self._follow(load)

    async def use_service_account(self) -> None:
        """Raises `UsageError` outside of a pod."""
        from kubernetes.aio.config import ConfigException, load_incluster_config

        async def load(force: bool) -> None:
            load_incluster_config(self.configuration, try_refresh_token=False)

        try:
            await load(True)
        except ConfigException as error:
            message = f"not in a pod of a cluster ({error}): give --kubeconfig FILE, or --manifests DIR"
            raise UsageError(message) from error
        self._strip()
        self._follow(load)

    def apply_host(self) -> None:
        """`--apiserver-host` wins over what was loaded."""
        if self._host:
            self.configuration.host = self._host.rstrip("/")

    async def renew(self, since: float) -> bool:
        """Load credentials anew, unless that was done after the time `since` (monotonic). False if there is no way."""
        if self._load is None:
            return False
        async with self._turn:
            if self._read_at < since:
                await self._reload(self._load, force=True)
        return True

    def _follow(self, load: Callable[[bool], Awaitable[None]]) -> None:
        self._load, self._read_at = load, time.monotonic()
        self.configuration.refresh_api_key_hook = self._before_request

    async def _before_request(self, _: api.Configuration) -> None:
        if self._load is not None and time.monotonic() - self._read_at > CREDENTIALS_AGE and not self._turn.locked():
            async with self._turn:
                await self._reload(self._load, force=False)

    async def _reload(self, load: Callable[[bool], Awaitable[None]], *, force: bool) -> None:
        self._read_at = time.monotonic()
        await load(force)
        self.apply_host()
        self._strip()

    def _strip(self) -> None:
        """A token file may end with a line break, which no header may hold."""
        keys = self.configuration.api_key
        for name, value in keys.items():
            keys[name] = value.strip()


def _must_exist(path: str) -> None:
    if not Path(path).expanduser().is_file():
        raise UsageError(f"there is no kubeconfig {path}")


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
