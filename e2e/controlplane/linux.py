"""Three calls of Linux that Python 3.11 does not offer.

`os.unshare` and `os.setns` came with Python 3.12; a signal at the parent's death never came.
"""

from __future__ import annotations

import ctypes
import os
import signal

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def unshare_network() -> None:
    """Move this thread into a new network namespace; what it starts from now on is there too."""
    _checked(_libc.unshare(_CLONE_NEWNET))


def enter_network(descriptor: int) -> None:
    """Move this thread into the network namespace that `descriptor` has open."""
    _checked(_libc.setns(descriptor, _CLONE_NEWNET))


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends, however it ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
