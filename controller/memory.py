"""Memory of our own process.

The first reading of a big cluster needs far more than what is kept of it: pages of lists, texts on their way to files;
and each change needs a little. glibc keeps what was freed for later, which would be counted as ours for as long as we
run. And what is kept is kept for long, so to look through it for what can go is time lost.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def collect_rarely() -> None:
    """Python's own settings have it look through everything every few hundred objects that are made."""
    gc.set_threshold(50_000, 20, 100)


def settle() -> None:
    """What is there now stays: it is left out of collections from now on."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return free memory to the kernel (malloc_trim(3)): some ten milliseconds. Nothing happens where libc has no such
    call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
