"""The world that objects come from and that is told about them: a directory of manifests, or a cluster."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from controller.model.diagnostics import Diagnostic, Report
from controller.model.refs import Kind, ObjectKey
from controller.observe.live import WatchState
from controller.observe.metrics import Metrics
from controller.settings import Settings
from controller.sources.base import Source
from controller.sources.manifests import KINDS, ManifestSource
from controller.state.events import Event
from controller.state.store import Change, Store


class Outside(Protocol):
    """What `app` needs of either world."""

    name: str
    expected: frozenset[Kind]
    source: Source

    def tasks(self, store: Store, metrics: Metrics) -> Mapping[str, Coroutine[Any, Any, Any]]:
        """What runs beside the source: status, Lease, Events."""
        ...

    def watch_states(self) -> Sequence[WatchState]:
        """For metrics."""
        ...

    def on_event(self, event: Event, change: Change) -> None:
        """An object was read."""
        ...

    def on_round(self, ingresses: Sequence[ObjectKey], report: Report, fresh: Sequence[Diagnostic]) -> None:
        """A configuration was applied for these Ingresses; `fresh` are the findings that are new."""
        ...

    def want(self, keys: frozenset[ObjectKey]) -> None:
        """Secrets that the configuration refers to, whatever their type."""
        ...

    async def close(self, store: Store) -> None:
        """Last words before nginx drains."""
        ...


class ManifestsOutside:
    """Files: nobody to tell but the log."""

    name = "manifests"
    expected = KINDS

    def __init__(self, settings: Settings) -> None:
        assert settings.manifests is not None
        self.source: Source = ManifestSource(settings.manifests)

    def tasks(self, store: Store, metrics: Metrics) -> Mapping[str, Coroutine[Any, Any, Any]]:
        return {}

    def watch_states(self) -> Sequence[WatchState]:
        return ()

    def on_event(self, event: Event, change: Change) -> None:
        pass

    def on_round(self, ingresses: Sequence[ObjectKey], report: Report, fresh: Sequence[Diagnostic]) -> None:
        pass

    def want(self, keys: frozenset[ObjectKey]) -> None:
        pass

    async def close(self, store: Store) -> None:
        pass


async def outside_of(settings: Settings) -> Outside:
    """The world that the flags name. The Kubernetes client is loaded only where it is needed.

    Raises `UsageError` where there is no usable way to a cluster.
    """
    if settings.manifests is not None:
        return ManifestsOutside(settings)
    from controller.cluster import ClusterOutside

    return await ClusterOutside.open(settings)
