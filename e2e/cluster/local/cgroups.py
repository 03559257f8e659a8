"""The cgroups of the node: one folder in each hierarchy, under which everything of it lives.

Guarantees: `remove` returns when no process of the node is left, for a cgroup with one in it cannot
be removed. Knows version 1 (also several hierarchies, named ones and hybrids) and version 2.

Why a folder of our own: in a cgroup namespace it is the root, so kubelet and runc write into it
what they think belongs to the machine, and one walk removes all of it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.local.layout import NAME

_ROOT = Path("/sys/fs/cgroup")
_NO_CONTROLLERS = ("rw", "ro", "xattr", "noprefix", "clone_children")
_INHERITED = ("cpuset.cpus", "cpuset.mems")
_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.05


class CgroupsBusy(Exception):
    """Processes of the node did not end in time."""


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy; `options` are those of mount(8), empty for version 2."""

    mount_point: Path
    kind: str
    options: str


def hierarchies() -> list[Hierarchy]:
    """Return what is mounted under /sys/fs/cgroup."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, super_options = right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            options = _controllers(super_options) if kind == "cgroup" else ""
            found.append(Hierarchy(Path(left.split(" ")[4]), kind, options))
    return found


def _controllers(super_options: str) -> str:
    words = super_options.split(",")
    name = [each for each in words if each.startswith("name=")]
    if name:
        return f"none,{name[0]}"
    return ",".join(each for each in words if each not in _NO_CONTROLLERS and "=" not in each)


def places() -> list[Path]:
    """Return the folders to make: below this process's own cgroup in version 1, where limits add up.

    In version 2 only the root may have both processes and children with controllers.
    """
    return [_parent(each) / NAME for each in hierarchies()]


def _parent(hierarchy: Hierarchy) -> Path:
    if hierarchy.kind == "cgroup2":
        return hierarchy.mount_point
    wanted = hierarchy.options.removeprefix("none,")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own = hierarchy.mount_point / path.lstrip("/")
        if controllers == wanted and own.is_dir():  # not there when the mount shows a part only
            return own
    return hierarchy.mount_point


def make(folders: Sequence[Path]) -> None:
    """Make the folders, ready to take processes."""
    for folder in folders:
        _share_controllers(folder.parent)
        folder.mkdir(exist_ok=True)
        for name in _INHERITED:  # version 1: a cpuset takes no process before it has these
            with suppress(OSError):
                (folder / name).write_text((folder.parent / name).read_text())


def enter(folders: Sequence[Path]) -> None:
    """Move the calling process, and with it what it starts, into the folders."""
    for folder in folders:
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def step_aside(folders: Sequence[Path], process: int) -> None:
    """Version 2: move `process` from the top of the folders, where it would forbid controllers below.

    It had to be there while the cgroup namespace was made, for that makes the top the root.
    """
    for folder in folders:
        if _is_version_2(folder):
            _move([process], folder / "outside")


def mount_inside(seen_outside: Sequence[Hierarchy]) -> None:
    """Show the hierarchies of this cgroup namespace; to be called in a mount namespace of our own."""
    if [each.mount_point for each in seen_outside] != [_ROOT]:
        _mount("tmpfs", _ROOT, "mode=755")
    for each in seen_outside:
        each.mount_point.mkdir(parents=True, exist_ok=True)
        _mount(each.kind, each.mount_point, each.options)
        if each.kind == "cgroup2":
            _move(_processes_of(each.mount_point), each.mount_point / "node")
            _share_controllers(each.mount_point)


def _move(processes: Sequence[int], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for process in processes:
        with suppress(ProcessLookupError):
            (folder / "cgroup.procs").write_text(str(process))


def _share_controllers(folder: Path) -> None:
    """Version 2: let the children of `folder` use every controller it has."""
    if not _is_version_2(folder):
        return
    for name in (folder / "cgroup.controllers").read_text().split():
        with suppress(OSError):  # a controller may refuse, for example cpu with realtime processes
            (folder / "cgroup.subtree_control").write_text(f"+{name}")


def _is_version_2(folder: Path) -> bool:
    return (folder / "cgroup.controllers").exists()


def remove(folders: Sequence[Path]) -> None:
    """Remove the folders with all below; waits for processes that are about to end."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for folder in folders:
        while not _removed(folder):
            if time.monotonic() > deadline:
                raise CgroupsBusy(f"{folder} still has processes: {list(_processes(folder))}")
            time.sleep(_POLL_SECONDS)


def _removed(folder: Path) -> bool:
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
    return not folder.exists()


def _processes(folder: Path) -> Iterator[int]:
    for path, _, files in os.walk(folder):
        if "cgroup.procs" in files:
            yield from _processes_of(Path(path))


def _processes_of(folder: Path) -> list[int]:
    return [int(each) for each in (folder / "cgroup.procs").read_text().split()]


def _mount(kind: str, where: Path, options: str = "") -> None:
    chosen = ["--options", options] if options else []
    subprocess.run(["mount", "--types", kind, *chosen, kind, str(where)], check=True)
