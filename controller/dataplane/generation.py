"""Generations on disk: one directory per configuration, and a symbolic link to the one in force.

A generation is written and tested as `<number>.trial`, gets its name by a rename when it is to be used, and becomes
the one in force by an atomic switch of the link. `last-good` names the newest generation that a probe has
proved, with a digest of its texts. So at every moment, whatever crashes, there is either a whole last-good generation
or none: what a crash leaves behind is recognised by its name or its digest, ignored and removed.

Files are never rewritten in place, because an unchanged file is a hard link shared between generations.
All of this is blocking; the driver calls it in a thread.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from controller.model.fragments import Fragment, FragmentSet
from controller.model.layout import Layout

GENERATION_FILE = "generation.conf"
KEPT = 3
"""Generations left on disk, the one in force included."""

FSYNC_LIMIT = 100
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
        self._files: dict[int, dict[str, str]] = {}
        self._newest = 0

    # -- after a restart

    def recover(self) -> Generation | None:
        """The last-good generation, now in force again, if it is whole. Removes what a crash left half done."""
        self._root.mkdir(parents=True, exist_ok=True)
        for leftover in self._root.glob("*.trial"):
            shutil.rmtree(leftover)
        self._newest = max(self._newest, *self._numbers(), 0)
        good = self._load_good()
        if good is None:
            return None
        self._newest = max(self._newest, good.number)
        self._files[good.number] = {f.path: f.digest for f in good.fragments.fragments.values()}
        self._point_at(good.number)
        for number in self._numbers():
            if number > good.number:
                shutil.rmtree(self._root / str(number))
        return good

    def _load_good(self) -> Generation | None:
        """None where the marker or a file is missing, cut short or altered."""
        try:
            number, digest = self._marker.read_text().split()
            root = self._root / str(int(number))
            files = [path for path in sorted(root.rglob("*")) if path.is_file()]
            texts = {path.relative_to(root).as_posix(): path.read_text() for path in files}
        except (OSError, ValueError):
            return None
        fragments = FragmentSet.of(Fragment(p, text) for p, text in texts.items() if p != GENERATION_FILE)
        return Generation(int(number), fragments) if fragments.digest == digest else None

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
        trial = self._trial(number)
        has = self._files.setdefault(number, {})
        if not trial.exists():
            trial.mkdir(mode=0o750)
            _write(trial / GENERATION_FILE, f'map "" $hr_generation {{ default "{number}"; }}\n', sync=True)
        base = max((n for n in self._files if n != number), default=0)
        changed = [f for path, f in fragments.fragments.items() if has.get(path) != f.digest]
        for folder in {_inside(trial, f.path).parent for f in changed}:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        linked = {f.path for f in changed if self._link(base, trial, f)}
        written = [f for f in changed if f.path not in linked]
        for fragment in written:
            _write(trial / fragment.path, fragment.text, sync=len(written) <= FSYNC_LIMIT)
        for gone in has.keys() - fragments.fragments.keys():
            (trial / gone).unlink()
        self._files[number] = {path: f.digest for path, f in fragments.fragments.items()}
        for folder in (trial, *(d for d in trial.iterdir() if d.is_dir())):
            _sync_directory(folder)

    def _link(self, base: int, trial: Path, fragment: Fragment) -> bool:
        """Share the file of generation `base` where it has the same text.

        False also where the file system has no hard links, or another text is in the way.
        """
        if self._files.get(base, {}).get(fragment.path) != fragment.digest:
            return False
        with suppress(OSError):
            os.link(self._root / str(base) / fragment.path, trial / fragment.path)
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
        _write(self._marker, f"{number} {digest}\n", sync=True)
        _sync_directory(self._marker.parent)
        for old in sorted(self._numbers())[: -self._kept]:
            if old != number:
                shutil.rmtree(self._root / str(old))
                self._files.pop(old, None)

    def discard(self, number: int) -> None:
        """Remove a generation that is not to be used, unless it is in force."""
        self._files.pop(number, None)
        for path in (self._trial(number), self._root / str(number)):
            if path.exists() and not self._is_current(path):
                shutil.rmtree(path)

    # -- paths

    def _trial(self, number: int) -> Path:
        return self._root / f"{number}.trial"

    def _numbers(self) -> list[int]:
        return [int(path.name) for path in self._root.iterdir() if path.name.isdecimal()]

    def _is_current(self, path: Path) -> bool:
        return self._current.exists() and self._current.samefile(path)

    def _point_at(self, number: int) -> None:
        """Relative, so that the whole state directory can be moved."""
        fresh = self._current.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"{self._root.name}/{number}")
        fresh.replace(self._current)
        _sync_directory(self._current.parent)


def _inside(root: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute() or path == GENERATION_FILE:
        raise ValueError(f"not a path of a fragment: {path!r}")
    return root / path


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
