"""Memory of our own process.

The first reading of a big cluster needs far more than what is kept of it: pages of lists, texts on their way to files.
glibc keeps what was freed for later, which would be counted as ours for as long as we run.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Return free memory to the kernel (malloc_trim(3)): some ten milliseconds. Nothing happens where libc has no such
    call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
