"""How we say who we are to the API server, kept fresh: kubeconfig, exec plugin, or the service account of our pod.

Read again when they have an age, and at once when the API server refuses them; a plugin runs once, however many
requests find that out together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from controller.model.errors import UsageError

if TYPE_CHECKING:
    from kubernetes.aio import client as api

CREDENTIALS_AGE = 60.0
"""Seconds after which credentials that may change are looked at again."""

PLUGIN_TIMEOUT = 30.0
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Credentials:
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
            async with asyncio.timeout(PLUGIN_TIMEOUT):
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
            async with asyncio.timeout(PLUGIN_TIMEOUT):
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
