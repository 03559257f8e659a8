"""Which user nginx's workers run as, when the controller is root."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_USER = "nobody"
_GROUPS = ("nogroup", "nobody")


@dataclass(frozen=True, slots=True)
class WorkerUser:
    """`directive` is the value of nginx's `user`: `user group`. Empty when we are not root: workers are who we are."""

    directive: str
    reason: str


def worker_user(state_dir: str, run_dir: str) -> WorkerUser:
    """`nobody` where it can reach certificates and sockets below these directories, else `root`.

    nginx takes the group's name from the user's when none is given, and Debian has no group `nobody`: so both are
    named.
    """
    if os.geteuid() != 0:
        return WorkerUser("", "not started as root")
    try:
        user = pwd.getpwnam(_USER)
    except KeyError:
        return WorkerUser(_root(), f"there is no user {_USER}")
    for directory in (state_dir, run_dir):
        closed = _first_closed(Path(directory).absolute(), user.pw_uid, user.pw_gid)
        if closed:
            return WorkerUser(_root(), f"{_USER} may not enter {closed}")
    return WorkerUser(f"{_USER} {_group(user.pw_gid)}", "")


def _first_closed(path: Path, uid: int, gid: int) -> Path | None:
    """The first directory on the way to `path` that the user may not enter. Those still missing are ours to make."""
    for step in (*reversed(path.resolve().parents), path.resolve()):
        try:
            status = step.stat()
        except FileNotFoundError:
            return None
        bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH
        if not status.st_mode & bit:
            return step
    return None


def _group(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    for name in _GROUPS:
        with suppress(KeyError):
            return grp.getgrnam(name).gr_name
    return "root"


def _root() -> str:
    return f"root {_group(0)}"
