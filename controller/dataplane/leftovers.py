"""Workers that outlived their master: they serve on, and hold the ports that the next master needs.

Told to quit, a worker closes its listening sockets at once and finishes the requests it has, for at most
`worker_shutdown_timeout`. So ports are free within milliseconds and no request is cut short.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from controller.dataplane.procfs import orphans_of, process
from controller.dataplane.watched import Watched

logger = logging.getLogger(__name__)

RELEASE_SECONDS = 0.5
"""How long a worker may take to let go of its ports before it is killed."""

_LOOK_EVERY = 0.005


class Leftovers:
    """Workers on their way out; kept so that they are reaped, and ended when the controller ends."""

    def __init__(self) -> None:
        self._workers: list[Watched] = []

    @property
    def alive(self) -> tuple[Watched, ...]:
        self._workers = [one for one in self._workers if one.alive]
        return tuple(self._workers)

    async def retire(self, session: int) -> None:
        """Make the orphans of `session` accept no more; those that do not listen are killed."""
        found = []
        for orphan in orphans_of(session):
            with suppress(ProcessLookupError):
                found.append(Watched(orphan.pid))
        if not found:
            return
        self._workers = [*self.alive, *found]
        for worker in found:
            worker.send(signal.SIGQUIT)
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await _until_retired(found)
        deaf = [worker for worker in found if _accepts(worker)]
        for worker in deaf:
            worker.send(signal.SIGKILL)
            await worker.ended()
        logger.info("leftover workers retired", extra={"workers": len(found), "killed": len(deaf)})


async def end_by(watched: Sequence[Watched], end: float) -> None:
    """Wait until `end` on the monotonic clock, then TERM, and a second later KILL. Returns when all have ended."""
    for seconds, number in ((0.0, signal.SIGTERM), (1.0, signal.SIGKILL)):
        for one in watched:
            if not await one.ended(within=max(0.0, end + seconds - time.monotonic())):
                logger.warning("nginx did not end in time", extra={"pid": one.pid, "signal": number.name})
                one.send(number)
    for one in watched:
        await one.ended()


async def _until_retired(workers: Sequence[Watched]) -> None:
    """There is no event for it: nginx shows it in its command line only."""
    for worker in workers:
        while _accepts(worker):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)


def _accepts(worker: Watched) -> bool:
    found = process(worker.pid) if worker.alive else None
    return found is not None and not found.is_retiring
