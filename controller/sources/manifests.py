"""Objects from a directory of YAML and JSON files: once, or watched with watchfiles.

Nested folders, many documents a file, and `List` objects are read. A file that does not parse is one Diagnostic and its
last good content stays. An object that stands in two files is taken from the first path; the other is told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import watchfiles
import yaml

from controller.k8s.codec import TYPES, decode_document
from controller.k8s.legacy import modernise
from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.errors import UsageError
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.sources.base import Emit
from controller.state.events import Applied, Deleted, Event, Rejected, Synced

logger = logging.getLogger(__name__)

ENDINGS = (".yaml", ".yml", ".json")
DEBOUNCE_MS = 30
KINDS = frozenset(TYPES) - {Kind.NODE}
_GROUPS = {
    Kind.INGRESS: "networking.k8s.io/",
    Kind.INGRESS_CLASS: "networking.k8s.io/",
    Kind.ENDPOINT_SLICE: "discovery.k8s.io/",
}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(directory: Path) -> list[Event]:
    """Everything below the directory, as a cluster would tell it. Raises `UsageError` where there is no directory."""
    return [*Directory(directory).changes(), *(Synced(kind) for kind in sorted(KINDS))]


class Directory:
    """What the files say now, and what was told before."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"{root} is not a directory")
        self._root = root
        self._files: dict[Path, tuple[tuple[int, int], dict[ObjectKey, Event]]] = {}
        self._told: dict[ObjectKey, Event] = {}

    def changes(self) -> list[Event]:
        """Events that lead from what was told to what the files say."""
        found = sorted(p for p in self._root.rglob("*") if p.suffix in ENDINGS and p.is_file())
        self._files = {path: self._read(path) for path in found}
        now: dict[ObjectKey, Event] = {}
        first: dict[ObjectKey, Path] = {}
        doubles: list[Event] = []
        for path in found:
            for key, event in self._files[path][1].items():
                if key in now:
                    doubles.append(self._double(key, path, first[key]))
                else:
                    now[key], first[key] = event, path
        events: list[Event] = [event for key, event in now.items() if self._told.get(key) != event]
        events += [Deleted(key) for key in self._told if key not in now]
        self._told = now
        return events + doubles

    def _read(self, path: Path) -> tuple[tuple[int, int], dict[ObjectKey, Event]]:
        known = self._files.get(path)
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if known and known[0] == stamp:
                return known
            return stamp, dict(self._decode(path))
        except OSError as error:
            logger.warning("file cannot be read", extra={"file": str(path), "error": str(error)})
            return known or ((0, 0), {})
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            broken = self._broken(path, error)
            kept = {k: e for k, e in (known[1] if known else {}).items() if not isinstance(e, Rejected)}
            return stamp, {**kept, broken.key: broken}

    def _decode(self, path: Path) -> Iterator[tuple[ObjectKey, Event]]:
        for document in yaml.load_all(path.read_bytes(), Loader=_Loader):
            for item in _items(document):
                event = _event_of(item)
                if event is not None:
                    yield event.key, event

    def _broken(self, path: Path, error: Exception) -> Rejected:
        mark = getattr(error, "problem_mark", None)
        where = f"{path.relative_to(self._root)}:{mark.line + 1}" if mark else str(path.relative_to(self._root))
        key = ObjectKey(Kind.INGRESS, "", str(path.relative_to(self._root)))
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        return Rejected(
            key,
            Diagnostic(
                "object-unreadable",
                Severity.ERROR,
                key,
                FieldPath(),
                f"The file {where} is not YAML: {problem}.",
                Effect.PREVIOUS_VERSION_SERVED,
            ),
        )

    def _double(self, key: ObjectKey, path: Path, first: Path) -> Rejected:
        message = f"It stands in {path.relative_to(self._root)} too; {first.relative_to(self._root)} is used."
        return Rejected(key, Diagnostic("object-unreadable", Severity.ERROR, key, FieldPath(), message, Effect.NONE))


def _documents(path: Path) -> Iterator[Any]:
    """JSON has a parser of its own, a hundred times as fast."""
    text = path.read_bytes()
    if path.suffix == ".json":
        with suppress(msgspec.DecodeError):
            yield msgspec.json.decode(text)
            return
    yield from yaml.load_all(text, Loader=_Loader)


def _items(document: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, Mapping):
        if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
            for item in document["items"]:
                yield from _items(item)
        else:
            yield document


def _event_of(document: Mapping[str, Any]) -> Applied | Rejected | None:
    """None for what is not ours to read."""
    try:
        kind = Kind(document.get("kind", ""))
    except ValueError:
        return None
    modern, findings = modernise(document)
    version = str(modern.get("apiVersion", ""))
    if kind not in KINDS or (kind in _GROUPS and not version.startswith(_GROUPS[kind])):
        return None
    decoded = decode_document(kind, modern)
    if decoded.object is None:
        assert decoded.finding is not None
        return Rejected(decoded.key, decoded.finding)
    return Applied(decoded.key, decoded.object, findings)


class ManifestSource:
    """The directory, watched."""

    def __init__(self, root: Path) -> None:
        self._directory = Directory(root)
        self._root = root

    async def run(self, emit: Emit) -> None:
        watching = watchfiles.awatch(
            self._root, debounce=DEBOUNCE_MS, step=10, rust_timeout=5_000, yield_on_timeout=True
        )
        for event in self._directory.changes():
            emit(event)
        for kind in sorted(KINDS):
            emit(Synced(kind))
        async for _ in watching:
            for event in self._directory.changes():
                emit(event)
