"""Objects from a directory of YAML and JSON files: once, or watched.

Nested folders, many documents a file, and `List` objects are read; names that begin with a dot are not (editors and
ConfigMap mounts keep theirs there). A file that does not parse is one Diagnostic and its last good content stays. An
object that stands twice is taken from the first place, in the order of paths, and told so. A directory that is gone
while we run changes nothing: it is more likely being swapped than meant to end all traffic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import watchfiles

from controller.k8s.codec import decode_document, unreadable
from controller.k8s.legacy import modernise
from controller.model.diagnostics import Effect
from controller.model.errors import UsageError
from controller.model.refs import Kind, ObjectKey
from controller.sources.base import Emit
from controller.sources.documents import BrokenFile, Document, read_json, read_yaml
from controller.state.events import Applied, Deleted, Event, Rejected, Synced

logger = logging.getLogger(__name__)

ENDINGS = (".yaml", ".yml", ".json")
DEBOUNCE_MS = 30
RESCAN_MS = 5_000
"""How often the directory is read without being told to: some file systems tell nothing."""

_API = {
    Kind.INGRESS: ("networking.k8s.io", "v1"),
    Kind.INGRESS_CLASS: ("networking.k8s.io", "v1"),
    Kind.ENDPOINT_SLICE: ("discovery.k8s.io", "v1"),
    Kind.SERVICE: ("", "v1"),
    Kind.SECRET: ("", "v1"),
    Kind.CONFIG_MAP: ("", "v1"),
    Kind.NAMESPACE: ("", "v1"),
}
KINDS = frozenset(_API)

Read = Applied | Rejected


class Place(NamedTuple):
    """Where an object stands. `line` counts from 1; 0 where it is not known."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


class Stamp(NamedTuple):
    """What differs when a file was written or replaced."""

    modified_ns: int
    size: int
    inode: int


@dataclass(slots=True)
class _File:
    stamp: Stamp
    objects: list[tuple[Place, Read]] = field(default_factory=list)
    fault: tuple[Place, Rejected] | None = None


def load(directory: Path) -> list[Event]:
    """Everything below the directory, as a cluster would tell it. Raises `UsageError` where there is no directory."""
    return Directory(directory).everything()


class Directory:
    """What the files say now, and what was told before. Not safe to be used by two threads at once."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"{root} is not a directory")
        self.root = root
        self._files: dict[Path, _File] = {}
        self._told: dict[ObjectKey, Event] = {}
        self.locations: dict[ObjectKey, str] = {}

    def everything(self) -> list[Event]:
        """All that is there, then `Synced` for every kind."""
        return [*self.changes(), *(Synced(kind) for kind in sorted(KINDS))]

    def changes(self) -> list[Event]:
        """Events that lead from what was told to what the files say."""
        if not self.root.is_dir():
            logger.warning("directory of manifests is gone, its last content stays", extra={"path": str(self.root)})
            return []
        self._files = {path: self._refreshed(path) for path in self._paths()}
        now = self._first_of_each()
        events: list[Event] = [event for key, event in now.items() if self._told.get(key) != event]
        events += [Deleted(key) for key in self._told if key not in now]
        self._told = dict(now)
        return events

    def _paths(self) -> list[Path]:
        found = (p for p in self.root.rglob("*") if p.suffix in ENDINGS and p.is_file())
        return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(self.root).parts))

    def _refreshed(self, path: Path) -> _File:
        known = self._files.get(path)
        stamp = Stamp(0, 0, 0)
        try:
            status = path.stat()
            stamp = Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
            if known and known.stamp == stamp:
                return known
            read = read_json if path.suffix == ".json" else read_yaml
            found = ((Place(path, d.line), event_of(d)) for d in read(path.read_bytes()))
            return _File(stamp, [(place, event) for place, event in found if event is not None])
        except BrokenFile as error:
            fault = self._fault(Place(path, error.line), f"is not YAML: {error}", known)
        except OSError as error:
            fault = self._fault(Place(path, 0), f"cannot be read: {error.strerror}", known)
        return _File(stamp, known.objects if known else [], fault)

    def _fault(self, place: Place, problem: str, known: _File | None) -> tuple[Place, Rejected]:
        key = ObjectKey(Kind.FILE, "", self._short(place.path))
        effect = Effect.PREVIOUS_VERSION_SERVED if known and known.objects else Effect.OBJECT_IGNORED
        message = f"{self._short_place(place)} {problem}."
        return place, Rejected(key, replace(unreadable(key, message), effect=effect))

    def _first_of_each(self) -> Mapping[ObjectKey, Read]:
        now: dict[ObjectKey, Read] = {}
        first: dict[ObjectKey, Place] = {}
        for file in self._files.values():
            for place, event in [file.fault, *file.objects] if file.fault else file.objects:
                if event.key in now:
                    now[event.key] = self._doubled(now[event.key], first[event.key], place)
                else:
                    now[event.key], first[event.key] = event, place
        self.locations = {key: str(place) for key, place in first.items()}
        return now

    def _doubled(self, event: Read, first: Place, other: Place) -> Read:
        if isinstance(event, Rejected):
            return event
        message = f"It stands twice: {self._short_place(first)} is used, {self._short_place(other)} is not."
        finding = replace(unreadable(event.key, message), effect=Effect.NONE)
        return event._replace(findings=(*event.findings, finding))

    def _short_place(self, place: Place) -> str:
        return str(place._replace(path=Path(self._short(place.path))))

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self.root))


def event_of(document: Document) -> Read | None:
    """None for what is not ours to read: other kinds, and kinds of the same name in other API groups."""
    modern, findings = modernise(document.content)
    try:
        kind = Kind(modern.get("kind", ""))
    except ValueError:
        return None
    if kind not in _API:
        return None
    version = str(modern.get("apiVersion") or "")
    decoded = decode_document(kind, modern)
    if not version:
        return Rejected(decoded.key, unreadable(decoded.key, "It has no apiVersion.", "apiVersion"))
    if version != "/".join(filter(None, _API[kind])):
        return _foreign(kind, version, decoded.key)
    if decoded.object is None:
        assert decoded.finding is not None
        return Rejected(decoded.key, decoded.finding)
    return Applied(decoded.key, decoded.object, findings)


def _foreign(kind: Kind, version: str, key: ObjectKey) -> Rejected | None:
    group, wanted = _API[kind]
    if version.rpartition("/")[0] != group:
        return None
    ours = "/".join(filter(None, (group, wanted)))
    return Rejected(key, unreadable(key, f"apiVersion {version} is not known; write {ours}.", "apiVersion"))


class ManifestSource:
    """The directory, watched. Files are read in a thread: thousands of documents take seconds."""

    def __init__(self, root: Path) -> None:
        self._directory = Directory(root)

    @property
    def locations(self) -> Mapping[ObjectKey, str]:
        """`file:line` of every object that was read."""
        return self._directory.locations

    async def run(self, emit: Emit) -> None:
        """Ends by cancellation only."""
        await _tell(emit, self._directory.everything)
        while True:
            try:
                await self._watch(emit)
            except (OSError, RuntimeError) as error:
                logger.warning("directory of manifests cannot be watched", extra={"error": str(error)})
                await asyncio.sleep(RESCAN_MS / 1000)
            await _tell(emit, self._directory.changes)

    async def _watch(self, emit: Emit) -> None:
        """Returns when the directory is another one than it was: a watch follows the old one for ever."""
        root = self._directory.root
        watched = root.stat().st_ino
        watching = watchfiles.awatch(root, debounce=DEBOUNCE_MS, step=10, rust_timeout=RESCAN_MS, yield_on_timeout=True)
        turn = asyncio.ensure_future(anext(watching))
        try:
            await asyncio.sleep(0)  # the watch begins with the first step, and a change before it would be missed
            while root.stat().st_ino == watched:
                await _tell(emit, self._directory.changes)
                await turn
                turn = asyncio.ensure_future(anext(watching))
        finally:
            turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)


async def _tell(emit: Emit, read: Callable[[], list[Event]]) -> None:
    for event in await asyncio.to_thread(read):
        emit(event)
