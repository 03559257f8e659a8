"""The loop between the store and nginx: dirty, snapshot, build, apply, publish.

Level-triggered: a change sets a flag and never queues work. The build (translate and render) runs in one thread on
immutable values; everything else belongs to the event loop. A build that fails is our bug: the last good
configuration stays in force, the fault is counted, and after three in a row we are no longer ready.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from controller.dataplane.result import ApplyResult, Outcome
from controller.model.configuration import Certificate, Configuration, Translation
from controller.model.fragments import FragmentSet
from controller.model.options import Options
from controller.model.secretbytes import SecretBytes
from controller.render.fragments import Renderer
from controller.state.snapshot import Snapshot
from controller.translate.tls import CertificateCache
from controller.translate.translator import translate

logger = logging.getLogger(__name__)

SETTLE = 0.05
"""Seconds without a change after which a build starts."""

SETTLE_AT_MOST = 0.5
"""Seconds after the first change at which it starts in any case."""

RETRY = 30.0
"""Seconds after which a configuration that nginx did not take is tried again, even if nothing has changed."""

TROUBLE = 3
"""Builds that fail in a row until we say that we are not ready."""


class DataPlane(Protocol):
    """What the loop needs of the data plane."""

    serial_reloads: bool

    async def apply(self, fragments: FragmentSet, reason: str) -> ApplyResult: ...

    async def write_certificates(self, files: Mapping[str, SecretBytes | bytes]) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Round:
    """One pass of the loop. Times are in seconds."""

    translation: Translation
    result: ApplyResult
    certificates_written: tuple[str, ...]
    build_seconds: float
    apply_seconds: float


@dataclass(slots=True)
class Builder:
    """Translate and render with what is kept between builds: rendered hosts and parsed certificates."""

    options: Options
    renderer: Renderer
    kept: dict[str, Certificate]
    certificates: CertificateCache = field(default_factory=CertificateCache)
    _divides: bool = False

    def set_replicas(self, count: int) -> bool:
        """How many ready controllers there are. True where a build would now come to something else."""
        changed = count != self.options.replicas
        self.options = replace(self.options, replicas=count)
        return changed and self._divides

    def build(self, snapshot: Snapshot, now: int) -> tuple[Translation, FragmentSet]:
        translation = translate(snapshot, self.options, now=now, kept=self.kept, cache=self.certificates)
        fragments = self.renderer.render(translation.configuration)
        self.certificates.keep_only(translation.references.secrets)
        self.kept = translation.configuration.certificates
        self._divides = translation.configuration.main.limit_divide_by_replicas
        return translation, fragments


class Reconciler:
    """Owned by the event loop. `run` ends by cancellation only."""

    def __init__(
        self,
        builder: Builder,
        data_plane: DataPlane,
        snapshot: Callable[[], Snapshot],
        publish: Callable[[Round], Awaitable[None]],
        count_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """`publish` is told of each round that was applied, `count_failure` of each build that failed."""
        self._builder = builder
        self._data_plane = data_plane
        self._snapshot = snapshot
        self._publish = publish
        self._count_failure = count_failure
        self._dirty = asyncio.Event()
        self._last_change = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="builder")
        self._fragments: FragmentSet | None = None
        self.failures = 0

    def mark_dirty(self) -> None:
        """Something that may change the configuration has changed."""
        self._last_change = time.monotonic()
        self._dirty.set()

    async def run(self) -> None:
        """Waits for changes to settle, then builds and applies; what comes meanwhile is taken by the next round."""
        try:
            while True:
                await self._dirty.wait()
                await self._settle()
                self._dirty.clear()
                await self._round()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _settle(self) -> None:
        start = time.monotonic()
        while True:
            now = time.monotonic()
            wait = min(self._last_change + SETTLE, start + SETTLE_AT_MOST) - now
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    async def _round(self) -> None:
        begun = time.monotonic()
        snapshot = self._snapshot()
        try:
            build = asyncio.get_running_loop().run_in_executor(
                self._pool, self._builder.build, snapshot, int(time.time())
            )
            translation, fragments = await build
        except Exception:
            self.failures += 1
            self._count_failure()
            logger.exception("internal error while building", extra={"failures": self.failures})
            return
        built = time.monotonic()
        written = await self._data_plane.write_certificates(certificate_files(translation.configuration))
        self._data_plane.serial_reloads = translation.configuration.main.enable_serial_reloads
        result = await self._data_plane.apply(fragments, reload_reason(self._fragments, fragments))
        self.failures = 0
        if result.outcome is Outcome.REFUSED:
            asyncio.get_running_loop().call_later(RETRY, self.mark_dirty)
        else:
            self._fragments = fragments
        await self._publish(Round(translation, result, written, built - begun, time.monotonic() - built))


def certificate_files(configuration: Configuration) -> dict[str, SecretBytes | bytes]:
    """One PEM file a certificate (the chain, then the key), and the files that the features asked for."""
    pairs: dict[str, SecretBytes | bytes] = {
        f"{certificate.id}.pem": SecretBytes(certificate.chain + certificate.key.reveal())
        for certificate in configuration.certificates.values()
    }
    return pairs | configuration.files


def reload_reason(before: FragmentSet | None, after: FragmentSet) -> str:
    """What makes nginx read its files again, in one word: the label of the metric and of the log line."""
    changed = after.changed_since(before)
    if before is None:
        return "start"
    if "nginx.conf" in changed:
        return "settings"
    servers = [path for path in changed if path.startswith("servers/")]
    if any(path not in before.fragments for path in servers):
        return "host-added"
    if any(path not in after.fragments for path in servers):
        return "host-removed"
    if servers:
        return "routes"
    if any(path.startswith("stream") for path in changed):
        return "streams"
    return "upstreams" if "upstreams.conf" in changed else "certificates"
