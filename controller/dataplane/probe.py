"""Prove which generation nginx runs, by asking it.

After a HUP nginx says nothing: if the new configuration fails (an address in use, no memory) the old workers go on.
A server on a unix socket answers the generation's number. Old workers keep accepting until the master has retired
them, 100 ms after the new ones are up (`ngx_master_process_cycle`), so the number must come several times in a row, on
fresh connections, over longer than that.
"""

from __future__ import annotations

import asyncio
import time

from controller.model.errors import ProbeTimeout

CONSECUTIVE = 5
SPACING = 0.03
"""Seconds between answers that agree: four of them outlast the 100 ms in which old workers still accept."""

FIRST_PAUSE, LONGEST_PAUSE = 0.008, 0.05
ANSWER_SECONDS = 1.0

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


async def probe(socket: str, number: int, deadline: float = 10.0, consecutive: int = CONSECUTIVE) -> None:
    """Return when `number` is what nginx answers. `deadline` in seconds. Raises `ProbeTimeout`."""
    end = time.monotonic() + deadline
    agreeing, pause = 0, FIRST_PAUSE
    answer: int | None = None
    while agreeing < consecutive:
        await asyncio.sleep(SPACING if agreeing else pause)
        answer = await ask_generation(socket, min(ANSWER_SECONDS, max(0.05, end - time.monotonic())))
        agreeing = agreeing + 1 if answer == number else 0
        pause = min(pause * 1.5, LONGEST_PAUSE)
        if answer != number and time.monotonic() > end:
            got = "nothing answers" if answer is None else f"generation {answer} still answers"
            raise ProbeTimeout(f"generation {number} did not answer within {deadline:g} s; {got}")
