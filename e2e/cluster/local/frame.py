"""The frame around the node: namespaces, cgroups and one pair of interfaces.

Guarantees: ending one process ends all of the node, and the kernel then drops its mounts, bridges,
routes and iptables rules; what no namespace holds (cgroups, a folder, our end of the pair) is noted
before it is made and removed by `remove_leftovers`, also after a crash. Two frames never overlap.

This module is the view from outside; `inside` is what runs in the frame.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from e2e.cluster.local import cgroups
from e2e.cluster.local.layout import HOST_ADDRESS, NAME, NODE_ADDRESS, POD_RANGE, PREFIX_LENGTH, Layout
from e2e.controlplane import linux

_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")
# What nsenter(1) calls them, and their files. Processes that enter stay in their own cgroups.
_ENTERED = {"mount": "mnt", "net": "net", "ipc": "ipc", "uts": "uts", "pid": "pid_for_children"}
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.02
_ROOT = Path(__file__).parents[3]  # where the package e2e is found


class FrameFailed(Exception):
    """The namespaces could not be made, or could not be ended."""


def is_running(layout: Layout) -> bool:
    """Whether a frame is there, also one that is just starting or ending."""
    lock = _take_lock(layout)
    if lock is None:
        return True
    os.close(lock)
    return False


def open_frame(layout: Layout, arguments: tuple[str, str], *, detached: bool) -> subprocess.Popen[bytes]:
    """Run `inside` with `arguments` (sandbox image, image archive) in a new frame; return the process to end.

    It dies with the calling thread, unless `detached`. Raises FrameFailed, also when there is one.
    """
    lock = _take_lock(layout)
    if lock is None:
        raise FrameFailed(f"a cluster is running already; it holds {layout.lock}")
    try:
        remove_leftovers(layout)
        return _open(layout, arguments, lock, detached=detached)
    finally:
        os.close(lock)  # the frame has its own copy


def close_frame(layout: Layout) -> None:
    """End the frame, if there is one, and remove all that it left."""
    if is_running(layout):
        with suppress(FileNotFoundError, ProcessLookupError, KeyError):
            os.kill(_process(layout), signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (lock := _take_lock(layout)) is None:
        if time.monotonic() > deadline:
            raise FrameFailed(f"the frame does not end; it holds {layout.lock}")
        time.sleep(_POLL_SECONDS)
    try:
        remove_leftovers(layout)
        layout.lock.unlink()
    finally:
        os.close(lock)


def remove_leftovers(layout: Layout) -> None:
    """Remove what a frame that is gone has left; to be called with the lock held."""
    with suppress(FileNotFoundError):
        state = json.loads(layout.state.read_text())
        cgroups.remove([Path(each) for each in state["cgroups"]])
    if NAME in (name for _, name in socket.if_nameindex()):
        _ip("link", "delete", NAME)
    if layout.folder.exists():
        shutil.rmtree(layout.folder)


def enter_command(layout: Layout) -> list[str]:
    """Return the words to put before a command so that it runs in the frame."""
    process = _process(layout)
    return ["nsenter", *(f"--{kind}=/proc/{process}/ns/{file}" for kind, file in _ENTERED.items()), "--"]


def _process(layout: Layout) -> int:
    return int(json.loads(layout.state.read_text())["process"])


def _take_lock(layout: Layout) -> int | None:
    layout.lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)  # its last holder has removed it meanwhile


def _open(layout: Layout, arguments: Sequence[str], lock: int, *, detached: bool) -> subprocess.Popen[bytes]:
    folders = cgroups.places()
    state = {"cgroups": [str(each) for each in folders]}
    layout.folder.mkdir(mode=0o700)
    layout.logs.mkdir()
    _note(layout, state)
    cgroups.make(folders)

    def before_exec() -> None:
        if not detached:
            linux.die_with_parent()
        cgroups.enter(folders)

    with layout.node_log.open("ab") as output:
        process = subprocess.Popen(
            _command(layout, arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec,
            pass_fds=[lock],
            cwd=_ROOT,
        )
    try:
        _note(layout, {**state, "process": process.pid})
        _await_namespaces(layout, process)
        cgroups.step_aside(folders, process.pid)
        _connect(process.pid)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _note(layout: Layout, state: Mapping[str, object]) -> None:
    unfinished = layout.state.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(state))
    unfinished.rename(layout.state)


def _command(layout: Layout, arguments: Sequence[str]) -> list[str]:
    seen = json.dumps([asdict(each) for each in cgroups.hierarchies()], default=str)
    inside = [sys.executable, "-m", "e2e.cluster.local.inside", str(layout.folder), seen]
    return ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--", *inside, *arguments]


def _await_namespaces(layout: Layout, process: subprocess.Popen[bytes]) -> None:
    own = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            if Path(f"/proc/{process.pid}/ns/net").readlink() != own:
                return
        time.sleep(_POLL_SECONDS)
    output = layout.node_log.read_text(errors="replace")
    raise FrameFailed(f"no namespaces of our own (they need root): {output}")


def _connect(process: int) -> None:
    """Lay the pair of interfaces between this machine and the frame; `inside` waits for its end."""
    _ip("link", "add", NAME, "type", "veth", "peer", "name", "eth0", "netns", str(process))
    _ip("address", "add", f"{HOST_ADDRESS}/{PREFIX_LENGTH}", "dev", NAME)
    _ip("link", "set", NAME, "up")
    _ip("route", "add", POD_RANGE, "via", NODE_ADDRESS)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
