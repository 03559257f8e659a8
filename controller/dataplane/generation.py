"""Generations on disk: one directory per configuration, and a symbolic link to the one in force.

A generation is written and tested as `<number>.trial`, gets its name by a rename when it is to be used, and becomes
the one in force by an atomic switch of the link. `last-good` names the newest generation that a probe has
proved, with a digest of its texts. So at every moment, whatever crashes, there is either a whole last-good generation
or none: what a crash leaves behind is recognised by its name or its digest, ignored and removed.

Files are never rewritten in place, because an unchanged file is a hard link shared between generations. The directory
of a generation that nothing needs any more becomes that of the next one, where only what differs is written: so a
change of one host among thousands costs a few files.
All of this is blocking; the driver calls it in a thread.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.model.deltas import delta
from controller.model.fragments import Fragment, FragmentSet
from controller.model.layout import Layout

logger = logging.getLogger(__name__)

GENERATION_FILE = "generation.conf"
KEPT = 3
"""Generations left on disk, the one in force included."""

SPARE = 0
"""Number of a directory that belongs to no generation."""

FSYNC_LIMIT = 20
"""More changed files than this (the first build of a big cluster) are left to the kernel: a file that a power failure
loses is found by the digest, and then the controller builds anew."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A proved generation as found on disk. The fragments have no origins and no stubs."""

    number: int
    fragments: FragmentSet


class GenerationStore:
    """Owns `<state_dir>/generations`, `current` and `last-good`. All methods raise OSError where the disk fails."""

    def __init__(self, layout: Layout, kept: int = KEPT) -> None:
        self._root = Path(layout.generations_dir)
        self._current = Path(layout.current)
        self._marker = Path(layout.state_dir) / "last-good"
        self._kept = kept
        self._files: dict[int, Mapping[str, Fragment]] = {}
        self._newest = 0

    # -- after a restart

    def recover(self) -> Generation | None:
        """The last-good generation, now in force again, if it is whole. Removes what a crash left half done."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._newest = max(self._newest, *self._numbers(".trial"), *self._numbers(), 0)
        for leftover in self._root.glob("*.trial"):
            _remove(leftover)
        try:
            good = self._load_good()
        except (OSError, ValueError) as fault:
            if self._newest:
                logger.warning("last good generation not usable", extra={"error": str(fault)})
            return None
        self._newest = max(self._newest, good.number)
        # Without the texts, which would else be kept as long as the directory.
        found = good.fragments.fragments.values()
        self._files[good.number] = {f.path: Fragment(f.path, "", digest=f.digest) for f in found}
        self._point_at(good.number)
        for number in self._numbers():
            if number > good.number:
                _remove(self._root / str(number))
        return good

    def _load_good(self) -> Generation:
        """Raises OSError or ValueError where the marker or a file is missing, cut short or altered."""
        mark = self._marker.read_text()
        number = int(mark.partition(" ")[0])
        root = self._root / str(number)
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        texts = {path.relative_to(root).as_posix(): path.read_text() for path in files}
        own = texts.pop(GENERATION_FILE, "")
        fragments = FragmentSet.of(Fragment(path, text) for path, text in texts.items())
        if mark != _mark(number, fragments.digest) or own != _own_text(number):
            raise ValueError(f"{self._marker.name} or a file of generation {number} is missing, cut short or altered")
        return Generation(number, fragments)

    # -- a new one

    def next_number(self, above: int = 0) -> int:
        """A number that no generation in force has had, and that is larger than `above`."""
        return max(self._newest, above) + 1

    def directory(self, number: int) -> Path:
        """Where generation `number` lies now."""
        trial = self._trial(number)
        return trial if trial.exists() else self._root / str(number)

    def write(self, number: int, fragments: FragmentSet) -> None:
        """Make the trial directory hold exactly these fragments; called again, it changes only what differs.

        Raises `ValueError` for a path that leads out of the directory.
        """
        trial, has = self._trial(number), self._files.pop(number, None)
        if has is None:
            has = self._begin(trial, number)
        base = max((n for n in self._files if n != number), default=0)
        other = delta(has, fragments.fragments)
        changed = [f for path, f in other.items() if f and (path not in has or has[path].digest != f.digest)]
        for name in {_folder_of(f.path) for f in changed}:
            (trial / name).mkdir(mode=0o750, parents=True, exist_ok=True)
        for path in (f.path for f in changed if f.path in has):
            (trial / path).unlink()
        written = [f for f in changed if not self._link(base, trial, f)]
        for fragment in written:
            _create(f"{trial}/{fragment.path}", fragment.text, sync=len(written) <= FSYNC_LIMIT)
        for gone in (path for path, fragment in other.items() if fragment is None):
            (trial / gone).unlink()
        for folder in (trial, *(d for d in trial.iterdir() if d.is_dir())):
            _sync_directory(folder)
        self._files[number] = fragments.fragments

    def _begin(self, trial: Path, number: int) -> Mapping[str, Fragment]:
        """Make the directory. Returns what is in it: one that nothing needs any more is used again."""
        if trial.exists():
            shutil.rmtree(trial)
        old = self._unneeded()
        if old is None:
            trial.mkdir(mode=0o750)
            has: Mapping[str, Fragment] = {}
        else:
            (self._root / str(old) if old else self._trial(SPARE)).rename(trial)
            has = self._files.pop(old)
        _write(trial / GENERATION_FILE, _own_text(number), sync=True)
        return has

    def _unneeded(self) -> int | None:
        """A generation that would be removed next, of which we know what is in it."""
        if SPARE in self._files:
            return SPARE
        numbers = sorted(self._numbers())
        oldest = numbers[0] if len(numbers) >= self._kept else None
        return oldest if oldest in self._files and not self._is_current(self._root / str(oldest)) else None

    def _link(self, base: int, trial: Path, fragment: Fragment) -> bool:
        """Share the file of generation `base` where it has the same text.

        False also where the file system has no hard links.
        """
        there = self._files.get(base, {}).get(fragment.path)
        if there is None or there.digest != fragment.digest:
            return False
        with suppress(OSError):
            os.link(f"{self._root}/{base}/{fragment.path}", f"{trial}/{fragment.path}")
            return True
        return False

    def publish(self, number: int) -> None:
        """Put generation `number` in force: the next reload or start of nginx reads it."""
        self._newest = max(self._newest, number)
        trial = self._trial(number)
        if trial.exists():
            trial.rename(self._root / str(number))
            _sync_directory(self._root)
        self._point_at(number)

    def keep(self, number: int, digest: str) -> None:
        """Record that a probe has proved it, and remove generations that nothing needs any more."""
        _write(self._marker, _mark(number, digest), sync=True)
        _sync_directory(self._marker.parent)
        for old in sorted(self._numbers())[: -self._kept]:
            if old != number:
                _remove(self._root / str(old))
                self._files.pop(old, None)

    def discard(self, number: int) -> None:
        """Remove a generation that is not to be used, unless it is in force. The next one may have its directory."""
        has = self._files.pop(number, None)
        if has is not None and SPARE not in self._files and self._trial(number).exists():
            self._trial(number).rename(self._trial(SPARE))
            self._files[SPARE] = has
        for path in (self._trial(number), self._root / str(number)):
            if path.exists() and not self._is_current(path):
                shutil.rmtree(path)

    # -- paths

    def _trial(self, number: int) -> Path:
        return self._root / f"{number}.trial"

    def _numbers(self, ending: str = "") -> list[int]:
        names = (path.name.removesuffix(ending) for path in self._root.iterdir() if path.name.endswith(ending))
        return [int(name) for name in names if name.isdecimal()]

    def _is_current(self, path: Path) -> bool:
        return self._current.exists() and self._current.samefile(path)

    def _point_at(self, number: int) -> None:
        """Relative, so that the whole state directory can be moved."""
        target = f"{self._root.name}/{number}"
        with suppress(OSError):
            if str(self._current.readlink()) == target:
                return
        fresh = self._current.with_suffix(".new")
        _remove(fresh)
        fresh.symlink_to(target)
        fresh.replace(self._current)
        _sync_directory(self._current.parent)


def _folder_of(path: str) -> str:
    folder, _, name = path.rpartition("/")
    if not name or path.startswith("/") or ".." in path.split("/") or path == GENERATION_FILE:
        raise ValueError(f"not a path of a fragment: {path!r}")
    return folder


def _mark(number: int, digest: str) -> str:
    return f"{number} {digest}\n"


def _own_text(number: int) -> str:
    return f'map "" $hr_generation {{ default "{number}"; }}\n'


def _remove(path: Path) -> None:
    """What cannot be removed, such as files of another user, stays: its number is not used again."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _create(path: str, text: str, *, sync: bool) -> None:
    """A file where there is none."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        if sync:
            file.flush()
            os.fsync(descriptor)


def _write(path: Path, text: str, *, sync: bool) -> None:
    """Replace the file as a whole; its inode may be shared with another generation."""
    fresh = path.with_name(f"{path.name}.writing")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)


def _sync_directory(path: Path) -> None:
    """Make renames in it outlast a power failure (fsync(2): the entry in the directory needs its own)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
