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
from controller.model.deltas import delta
from controller.model.fragments import FragmentSet
from controller.model.options import Options
from controller.model.secretbytes import SecretBytes
from controller.render.fragments import Renderer
from controller.state.snapshot import Snapshot
from controller.translate.translator import Translator

logger = logging.getLogger(__name__)

SETTLE, LONGEST_SETTLE = 0.02, 0.1
"""Seconds without a change after which a build starts: more, the longer it takes to put a configuration in force."""

SHARE = 0.05
"""Of the time that the last apply took; it may as well be spent on gathering what else changes."""

MANY, MANY_FACTOR = 10, 4
"""After so many changes more are to be expected: so many times as long without one."""

GATHER, LONGEST_GATHER = 0.25, 2.0
"""Seconds after the first change at which it starts in any case: as many as the last apply took, within these."""

FIRST_RETRY, RETRY = 2.0, 30.0
"""Seconds after which what nginx or the disk did not take is tried again, even if nothing has changed: at first, and at
most, twice as long each time."""

TROUBLE = 3
"""Builds that fail in a row until we say that we are not ready."""


class DataPlane(Protocol):
    """What the loop needs of the data plane."""

    async def may_apply(self, fragments: FragmentSet, changed: asyncio.Event, *, serial: bool) -> bool: ...

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
    """Translate and render with what is kept between builds, so that each costs what has changed since the last."""

    options: Options
    renderer: Renderer
    kept: dict[str, Certificate]
    translator: Translator = field(default_factory=Translator)
    _divides: bool = False

    def set_replicas(self, count: int) -> bool:
        """How many ready controllers there are. True where a build would now come to something else."""
        changed = count != self.options.replicas
        self.options = replace(self.options, replicas=count)
        return changed and self._divides

    def build(self, snapshot: Snapshot, now: int) -> tuple[Translation, FragmentSet]:
        translation = self.translator.translate(snapshot, self.options, now=now, kept=self.kept)
        fragments = self.renderer.render(translation.configuration)
        self.translator.cache.keep_only(translation.references.secrets)
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
        self._changes = 0
        self._cost = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="builder")
        self._fragments: FragmentSet | None = None
        self._texts = CertificateTexts()
        self._retry = 0.0
        self._again: asyncio.TimerHandle | None = None
        self.failures = 0

    def mark_dirty(self) -> None:
        """Something that may change the configuration has changed."""
        self._last_change = time.monotonic()
        self._changes += 1
        self._dirty.set()

    async def run(self) -> None:
        """Waits for changes to settle, then builds and applies; what comes meanwhile is taken by the next round."""
        try:
            while True:
                await self._dirty.wait()
                await self._settle()
                self._changes = 0
                self._dirty.clear()
                await self._round()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _settle(self) -> None:
        end = time.monotonic() + min(max(GATHER, self._cost), LONGEST_GATHER)
        while True:
            wait = min(self._last_change + self._quiet(), end) - time.monotonic()
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def _quiet(self) -> float:
        """Seconds without a change after which what has come is taken to be all."""
        quiet = min(max(SETTLE, SHARE * self._cost), LONGEST_SETTLE)
        return MANY_FACTOR * quiet if self._changes > MANY else quiet

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
        self.failures = 0
        built = time.monotonic()
        written, all_written = await self._write_certificates(translation.configuration)
        serial = translation.configuration.main.enable_serial_reloads
        if not await self._data_plane.may_apply(fragments, self._dirty, serial=serial):
            return
        begun_apply = time.monotonic()
        result = await self._data_plane.apply(fragments, reload_reason(self._fragments, fragments))
        self._cost = time.monotonic() - begun_apply if result.reload_reason else self._cost
        if result.outcome is not Outcome.REFUSED:
            self._fragments = fragments
        self._retry = 0.0 if self._fragments is fragments and all_written else self._try_again()
        await self._publish(Round(translation, result, written, built - begun, time.monotonic() - built))

    async def _write_certificates(self, configuration: Configuration) -> tuple[tuple[str, ...], bool]:
        """Names of those that are new, and whether all are there. Where the disk fails the last good ones stay."""
        try:
            return await self._data_plane.write_certificates(self._texts.files(configuration)), True
        except OSError as fault:
            logger.error("certificates not written, the last good ones stay", extra={"error": str(fault)})
            return (), False

    def _try_again(self) -> float:
        """Returns after how many seconds."""
        pause = min(max(FIRST_RETRY, 2 * self._retry), RETRY)
        if self._again:
            self._again.cancel()
        self._again = asyncio.get_running_loop().call_later(pause, self.mark_dirty)
        return pause


class CertificateTexts:
    """The content of each certificate file by its name."""

    def __init__(self) -> None:
        self._of: Mapping[str, Certificate] = {}
        self._texts: dict[str, SecretBytes | bytes] = {}

    def files(self, configuration: Configuration) -> dict[str, SecretBytes | bytes]:
        """One PEM file a certificate, and the files that the features asked for."""
        for name, certificate in delta(self._of, configuration.certificates).items():
            if certificate is None:
                del self._texts[f"{name}.pem"]
            else:
                self._texts[f"{name}.pem"] = certificate.pem
        self._of = configuration.certificates
        return self._texts | configuration.files


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
