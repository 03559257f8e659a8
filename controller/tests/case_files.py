"""Golden cases: a directory of manifests in, and what shall come of them.

`cases/TOPIC/CASE/` holds

- `in.yaml`: the objects, beside those of `cases/_shared`; `before.yaml`: what was there instead of `in.yaml` earlier;
- `settings.yaml`: fields of `Options` (`ns/name` for objects), and `now`, `unreadable` (kinds), `addresses` (true shows
  endpoints in answers);

and any of these, each of which is then checked:

- `model.yaml`: the configuration, dumped tersely; `explain.txt`: `[METHOD ]URL[ | Header: value]... -> answer`;
- `conf/FILE.conf`: the text of a file, by its name (`conf/foo.com.conf`, `conf/certificates.conf`), without the
  internal places that are the same in every server; `whole/FILE.conf`: with them;
- `main.diff`: the lines of nginx.conf that differ from those without any ConfigMap.

`diagnostics.txt` lists every finding, and where there is no such file there must be none.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.sources.manifests import load
from controller.state.events import Applied, Event, Rejected, Unreadable

CASES = Path(__file__).parent / "cases"
SHARED = CASES / "_shared"
INPUTS = frozenset({"in.yaml", "before.yaml", "settings.yaml"})
PARTS = frozenset({"model.yaml", "diagnostics.txt", "explain.txt", "main.diff"})
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIGMAP = ObjectKey(Kind.CONFIG_MAP, "headrace", "settings")
OPTIONS = Options(manifests=True, configmap=CONFIGMAP)
OBJECT_FIELDS = {
    "configmap": Kind.CONFIG_MAP,
    "default_backend_service": Kind.SERVICE,
    "default_ssl_certificate": Kind.SECRET,
}


class BadCase(ValueError):
    """The case itself is wrong: a file or a key that means nothing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`settings.yaml`, read."""

    options: Options = OPTIONS
    now: datetime = NOW
    unreadable: tuple[Kind, ...] = ()
    addresses: bool = False


@dataclass(frozen=True)
class Case:
    directory: Path

    @property
    def name(self) -> str:
        return f"{self.topic}/{self.directory.name}"

    @property
    def topic(self) -> str:
        return self.directory.parent.name

    @cached_property
    def settings(self) -> Settings:
        """Raises `BadCase` for a key that nobody reads."""
        path = self.directory / "settings.yaml"
        return settings_of(yaml.safe_load(path.read_text())) if path.exists() else Settings()

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """What a source tells about `in.yaml`."""
        denied = tuple(Unreadable(kind) for kind in self.settings.unreadable)
        return (*denied, *_objects(self.directory / "in.yaml").values())

    @cached_property
    def earlier(self) -> tuple[Event, ...]:
        """What it told about `before.yaml`, and that the rest of it is gone now."""
        path = self.directory / "before.yaml"
        return tuple(_objects(path).values()) if path.exists() else ()

    def files(self) -> dict[str, str]:
        """What is expected, by file. Raises `BadCase` for a file that has no meaning or no content."""
        found = sorted(path for path in self.directory.rglob("*") if path.is_file())
        names = [path.relative_to(self.directory).as_posix() for path in found]
        strange = [name for name in names if name not in INPUTS | PARTS and not _is_conf(name)]
        if strange or "in.yaml" not in names:
            raise BadCase(f"{self.name}: unknown files {strange}" if strange else f"{self.name} has no in.yaml")
        expected = {name: path.read_text() for name, path in zip(names, found, strict=True) if name not in INPUTS}
        empty = [name for name, text in expected.items() if not text.strip()]
        if empty or not expected:
            raise BadCase(f"{self.name}: nothing is expected in {empty or 'it'}")
        return expected


def all_cases() -> list[Case]:
    return [Case(path) for path in sorted(CASES.glob("*/*")) if path.is_dir() and path.parent != SHARED]


def settings_of(read: Mapping[str, Any]) -> Settings:
    """Raises `BadCase` for unknown keys and wrong types."""
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for key, value in read.items():
        if key == "now":
            values[key] = value if value.tzinfo else value.replace(tzinfo=UTC)
        elif key == "unreadable":
            values[key] = tuple(Kind(name) for name in value)
        elif key == "addresses":
            values[key] = bool(value)
        elif key in OBJECT_FIELDS:
            options[key] = ObjectKey(OBJECT_FIELDS[key], *value.split("/"))
        elif isinstance(value, type(getattr(Options(), key, None))):
            options[key] = value
        else:
            raise BadCase(f"settings.yaml: {key} is no setting, or of another type")
    return dataclasses.replace(Settings(**values), options=dataclasses.replace(Settings().options, **options))


class Question(NamedTuple):
    """The first column of a line of `explain.txt`."""

    text: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]


def question_of(line: str) -> Question:
    """Raises `BadCase` for a header without a colon."""
    text = line.partition(" -> ")[0].rstrip()
    request, *headers = text.split(" | ")
    method, _, url = request.rpartition(" ")
    return Question(text, method or "GET", url, tuple(_header(header) for header in headers))


@cache
def _shared() -> dict[ObjectKey, Event]:
    return {event.key: event for event in load(SHARED) if isinstance(event, Applied)}


def _objects(path: Path) -> dict[ObjectKey, Event]:
    """The shared objects and those of one file, which win."""
    own = {event.key: event for event in _load_file(path) if isinstance(event, Applied | Rejected)}
    return {**_shared(), **own}


def _load_file(path: Path) -> list[Event]:
    """The loader reads directories, so this one file gets one of its own."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / path.name).write_bytes(path.read_bytes())
        return load(Path(directory))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(": ")
    if not colon:
        raise BadCase(f"explain.txt: {text!r} is no header")
    return name, value


def _is_conf(name: str) -> bool:
    return re.fullmatch(r"(conf|whole)/[^/]+\.conf", name) is not None
