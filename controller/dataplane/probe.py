"""Prove which generation nginx runs: the workers from before the reload have retired, and a connection says the number.

After a HUP nginx says nothing: if the new configuration fails (an address in use, no memory) the old workers go on. A
server on a unix socket answers the generation's number. The master sleeps 100 ms between the start of new workers and
the end of the old ones (`ngx_master_process_cycle`), in which both accept. So an answer counts once every worker that
was there before shows in its command line that it retires: from then on whoever takes a connection is new. That is the
soonest moment that can be, and no chance is left in it. Where the workers before are not known, the number must
come several times in a row, on fresh connections, over longer than those 100 ms.
"""

from __future__ import annotations

import asyncio
import time

from controller.dataplane.procfs import has_done_its_signals, has_new_workers, process
from controller.model.errors import ProbeTimeout

CONSECUTIVE = 5
SPACING = 0.03
"""Seconds between answers that agree: four of them outlast the 100 ms in which old workers still accept."""

FIRST_PAUSE, LONGEST_PAUSE = 0.008, 0.05
ANSWER_SECONDS = 1.0

SOONEST = 0.1
"""Seconds for which no old worker is told to retire."""

FIRST_LOOK, LONGEST_LOOK = 0.003, 0.02
"""Between two looks at the old workers; each costs two small files of /proc for each of them."""

_REQUEST = b"GET /generation HTTP/1.1\r\nHost: headrace\r\nConnection: close\r\n\r\n"


async def ask_generation(socket: str, within: float = ANSWER_SECONDS) -> int | None:
    """The number that one worker answers; None where none answers in time."""
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(_REQUEST)
                reply = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(body) if head.startswith(b"HTTP/1.1 200 ") and body.strip().isdigit() else None


async def probe(
    socket: str, number: int, deadline: float = 10.0, before: frozenset[int] = frozenset(), master: int = 0
) -> None:
    """Return when `number` is what nginx answers. `deadline` in seconds. Raises `ProbeTimeout`.

    `before`: process ids of the workers that took connections before the reload; empty where they are not known.
    `master`: the process that was told to reload; 0 where it was not.
    """
    end = time.monotonic() + deadline
    if before and not await _retirement(before, end, master):
        raise ProbeTimeout(f"nginx refused generation {number} when it was told to reload, and goes on as before")
    await _agreement(socket, number, end, deadline, 1 if before else CONSECUTIVE)


async def _retirement(workers: frozenset[int], end: float, master: int) -> bool:
    """Returns when none of them accepts, or at `end`: then an answer says how things are. False: none ever will."""
    pause = FIRST_LOOK
    await asyncio.sleep(min(SOONEST, end - time.monotonic()))
    while time.monotonic() < end and any(map(_accepts, workers)):
        # In this order: whoever sleeps after a reload has started its workers before.
        if has_done_its_signals(master) and not has_new_workers(master, workers):
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, LONGEST_LOOK)
    return True


def _accepts(worker: int) -> bool:
    found = process(worker)
    return found is not None and found.accepts


async def _agreement(socket: str, number: int, end: float, deadline: float, consecutive: int) -> None:
    agreeing, pause = 0, 0.0 if consecutive == 1 else FIRST_PAUSE
    answer: int | None = None
    while agreeing < consecutive:
        await asyncio.sleep(SPACING if agreeing else pause)
        answer = await ask_generation(socket, min(ANSWER_SECONDS, max(0.05, end - time.monotonic())))
        agreeing = agreeing + 1 if answer == number else 0
        pause = min(max(FIRST_PAUSE, pause * 1.5), LONGEST_PAUSE)
        if answer != number and time.monotonic() > end:
            got = "nothing answers" if answer is None else f"generation {answer} still answers"
            raise ProbeTimeout(f"generation {number} did not answer within {deadline:g} s; {got}")
