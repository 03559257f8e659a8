"""The request log: nginx writes one short line per request into a file, we count the lines and give the space back.

    access_log <run_dir>/requests.log hr_metrics buffer=64k flush=1s;
    $hr_route<TAB>$request_method<TAB>$status<TAB>$request_time<TAB>$upstream_response_time

Counting in nginx itself would need Lua or njs, and halves the throughput of a worker; this costs it nothing that can
be measured. Few lines are distinct, so lines are counted as bytes and only distinct ones are parsed.

**Nothing is rotated.** We read on from where we were and hand the blocks that were read back to the kernel
(`fallocate` with `FALLOC_FL_PUNCH_HOLE`): the file's size keeps growing, the space it takes does not. nginx opened it
for appending and never notices, so no line falls between two files, no worker has to reopen anything (a worker without
root cannot reopen /dev/stdout, and a signal would make it try), and workers that are retiring after a reload are read
like all others. Where the file system cannot do that, the file is truncated at a moment when all of it has been read;
what nginx writes between the look and the cut, some microseconds, is lost then.

Bounds: what piles up beyond `limit` bytes while nobody reads is skipped and counted as lost. Reading is a guarded task:
if it ends, so does the controller, and its nginx. At start what an earlier process left is dropped.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Never, cast

from controller.observe.series import RequestSeries

logger = logging.getLogger(__name__)

LIMIT = 64 << 20
CHUNK = 64 << 10
"""Bytes read in one turn of the event loop."""
_FREE_STEP = 1 << 20
_TOO_FAR = 1 << 40
"""Where a file is cut anyway: file systems have a largest offset, ext4 16 TiB."""
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
"""From linux/falloc.h."""


class RequestLog:
    """Reads `path` into `series`. `lines` and `lost` count lines since the start. Owned by the event loop."""

    def __init__(self, path: Path, series: RequestSeries, *, limit: int = LIMIT) -> None:
        self._path = path
        self._series = series
        self._limit = limit
        self._file = -1
        self._offset = 0
        self._freed = 0
        self.lines = 0
        self.lost = 0

    def start(self) -> None:
        """Drop what is left of an earlier run. Call it before nginx starts; a running one goes on writing."""
        try:
            os.truncate(self._path, 0)
        except FileNotFoundError:
            return
        except OSError as fault:
            logger.warning("request log not emptied", extra={"error": str(fault)})

    async def run(self, interval: float = 1.0) -> Never:
        """Read every `interval` seconds until cancelled. A file that cannot be read is tried again, and said once."""
        told = False
        try:
            while True:
                await asyncio.sleep(interval)
                try:
                    await self.read()
                    told = False
                except OSError as fault:
                    if not told:
                        logger.warning("request log not read", extra={"error": str(fault)})
                    told = True
        finally:
            self.close()

    async def read(self) -> int:
        """Count what has come since the last call; the number of lines. Lets the loop turn after each chunk."""
        before = self.lines
        replaced = self._open()
        await self._read_on()
        if replaced:
            self.close()
            self._open()
            await self._read_on()
        return self.lines - before

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._offset, self._freed = -1, 0, 0

    def _open(self) -> bool:
        """Open the file where that is not done; True where another file has taken the path since."""
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
                return False
            return not os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return self._file >= 0

    async def _read_on(self) -> None:
        if self._file < 0:
            return
        size = os.fstat(self._file).st_size
        if size < self._offset:  # somebody else cut it
            self._offset = self._freed = 0
        skip_to = size - self._limit
        while self._offset < size and self._take(os.pread(self._file, CHUNK, self._offset), skip_to):
            if self._offset - self._freed >= _FREE_STEP:
                self._free()
            await asyncio.sleep(0)

    def _take(self, chunk: bytes, skip_to: int) -> bool:
        """Use the whole lines of a chunk; False where there is none yet. A line that fills a chunk is none of ours."""
        end = chunk.rfind(b"\n") + 1 or (len(chunk) if len(chunk) == CHUNK else 0)
        skipped = self._offset < skip_to
        self._offset += end
        if skipped:
            self.lost += chunk.count(b"\n", 0, end)
        elif end:
            self._count(chunk[: end - 1])
        return end > 0

    def _count(self, block: bytes) -> None:
        for line, times in Counter(block.split(b"\n")).items():
            if feed(self._series, line, times):
                self.lines += times
            else:
                self.lost += times

    def _free(self) -> None:
        """Give back the space of what was read."""
        if self._offset < _TOO_FAR and _punch(self._file, self._offset):
            self._freed = self._offset
        elif os.fstat(self._file).st_size == self._offset:
            os.ftruncate(self._file, 0)
            self._offset = self._freed = 0


def feed(series: RequestSeries, line: bytes, times: int) -> bool:
    """Count a line that came `times` times; False where it is not one of ours."""
    try:
        head, taken, tail = line.rsplit(b"\t", 2)
        seconds = float(taken)
    except ValueError:
        return False
    cell = series.cell(head)
    if cell is None:
        return False
    cell.requests.value += times
    cell.request.add(seconds, times)
    upstream_seconds = last_seconds(tail)
    if upstream_seconds is not None:
        cell.upstream.add(upstream_seconds, times)
    return True


def last_seconds(text: bytes) -> float | None:
    """Seconds of the upstream that answered, from `$upstream_response_time`; None where none did.

    nginx separates attempts by commas and internal redirections by colons, and writes `-` for an attempt that got
    nowhere (https://nginx.org/en/docs/http/ngx_http_upstream_module.html#var_upstream_response_time).
    """
    try:
        return float(text)
    except ValueError:
        last = text.replace(b":", b",").rpartition(b",")[2].strip()
    try:
        return float(last)
    except ValueError:
        return None


def _punch(file: int, length: int) -> bool:
    """Free the first `length` bytes of a file, keeping its size; False where that cannot be done."""
    fallocate = _fallocate()
    return fallocate is not None and fallocate(file, _PUNCH_HOLE_KEEP_SIZE, 0, length) == 0


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """fallocate(2) of the C library; Python has only its POSIX sister, which cannot punch holes."""
    library = ctypes.CDLL(None)
    found = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if found is None:
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    found.restype = ctypes.c_int
    return cast(Callable[[int, int, int, int], int], found)
