"""The flags of `headrace run` that say how often nginx may be reloaded, and what old workers may hold."""

from __future__ import annotations

import argparse
import re

from controller.dataplane.old_workers import Budget
from controller.dataplane.turn import ReloadLimits

_DEFAULT = ReloadLimits()
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
"""As Kubernetes writes quantities of memory."""


def add_reload_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("reloads of nginx").add_argument
    add(
        "--reload-interval",
        type=_seconds,
        default=_DEFAULT.interval,
        metavar="SEC",
        help="seconds between two reloads where many come, up to six times as many where there are many connections; "
        "the first ones come at once (default: %(default)s)",
    )
    add(
        "--reload-burst",
        type=_count,
        default=_DEFAULT.burst,
        metavar="N",
        help="reloads that may come at once after a pause; 1: every one keeps the interval (default: %(default)s)",
    )
    add(
        "--max-old-workers",
        type=_count,
        metavar="N",
        help="workers that finish long-lived connections, with which reloads begin to wait (default: 16 for each "
        "processor; 0: no limit)",
    )
    add(
        "--max-old-worker-memory",
        type=_memory,
        metavar="SIZE",
        help="their memory with which reloads begin to wait, such as 512Mi (default: a quarter of what the container "
        "may use; 0: no limit)",
    )
    add(
        "--max-reload-delay",
        type=_seconds,
        default=_DEFAULT.patience,
        metavar="SEC",
        help="how long; then the oldest workers are ended until there is room (default: %(default)s)",
    )
    add(
        "--reload-turn",
        type=_seconds,
        default=_DEFAULT.turn,
        metavar="SEC",
        help="replicas take turns of so many seconds in which they may reload, so that they never cut long-lived "
        "connections at the same time; the replicas are the endpoints of --publish-service (default: 0, no turns)",
    )


def reload_limits_of(args: argparse.Namespace) -> ReloadLimits:
    return ReloadLimits(
        interval=args.reload_interval,
        burst=args.reload_burst,
        budget=Budget(args.max_old_workers, args.max_old_worker_memory),
        patience=args.max_reload_delay,
        turn=args.reload_turn,
    )


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not valid: seconds, such as 30 or 0.5")
    return float(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not valid: a number from 0 to 999999")
    return int(text)


def _memory(text: str) -> int:
    """Bytes.

    >>> _memory("512Mi")
    536870912
    """
    found = re.fullmatch(r"(\d{1,9})(|[kMG]|[KMG]i)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid: bytes, or a quantity such as 512Mi")
    return int(found.group(1)) * _UNITS[found.group(2)]
