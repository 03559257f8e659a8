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
import random
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import ndiff
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from controller.explain.matcher import Explanation, explain
from controller.model.configuration import Certificate, Translation
from controller.model.diagnostics import Diagnostic
from controller.model.fragments import FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.offline import Look
from controller.render.fragments import Renderer
from controller.sources.manifests import load
from controller.state.events import Applied, Deleted, Event, Rejected, Unreadable
from controller.state.store import Store
from controller.tests.case_dump import dump
from controller.translate.tls import CertificateCache
from controller.translate.translator import translate

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
LAYOUT = Layout(
    state_dir="/state",
    run_dir="/run",
    nginx=NginxBinary("/nginx", (1, 31, 3), frozenset({"ipv6", "headers-more"})),
    resolvers=("127.0.0.1:10053",),
    sentinel_port=8181,
    open_files=65_536,
)
_INTERNAL = re.compile(r"^    location @hr_\w+ \{(?:.*\}\n|\n(?:        .*\n)*    \}\n)", re.MULTILINE)


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
        return self.directory.relative_to(CASES).as_posix()

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


# -- running


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case that has run."""

    case: Case
    store: Store
    translation: Translation
    fragments: FragmentSet

    def parts(self, names: Iterable[str]) -> dict[str, str]:
        """The text of these expected files, and of `diagnostics.txt`, as it is; files that cannot be are left out."""
        found = {name: text for name in {*names, "diagnostics.txt"} if (text := self._part(name))}
        return dict(sorted(found.items()))

    def _part(self, name: str) -> str:
        match name:
            case "model.yaml":
                return dump(self.translation.configuration)
            case "diagnostics.txt":
                return "".join(f"{_finding(found)}\n" for found in self.translation.report.diagnostics)
            case "explain.txt":
                return self._explained((self.case.directory / name).read_text())
            case "main.diff":
                return _difference(_without_settings(self.case.settings), self.fragments.fragments["nginx.conf"].text)
        kind, _, file = name.partition("/")
        fragment = self.fragments.fragments.get(file) or self.fragments.fragments.get(f"servers/{file}")
        if fragment is None:
            return ""
        return fragment.text if kind == "whole" else _INTERNAL.sub("", fragment.text)

    def _explained(self, text: str) -> str:
        addresses = self.case.settings.addresses
        questions = [question_of(line) for line in text.splitlines() if line.strip()]
        return "".join(f"{q.text} -> {_answer(self.story(q), addresses=addresses)}\n" for q in questions)

    def story(self, question: Question) -> Explanation:
        look = Look(self.store, self.translation, manifests=True)
        return explain(
            self.translation.configuration,
            question.url,
            question.method,
            dict(question.headers),
            endpoints=look.endpoints,
        )


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


def run(case: Case, seed: int | None = None) -> Outcome:
    """Everything at once; with a seed the objects come in another order."""
    store = Store(frozenset())
    kept: Mapping[str, Certificate] = {}
    if case.earlier:
        _apply(store, case.earlier)
        kept = _translate(store, case.settings, {}).configuration.certificates
        now = {event.key for event in case.events if isinstance(event, Applied | Rejected)}
        _apply(store, (Deleted(e.key) for e in case.earlier if isinstance(e, Applied) and e.key not in now))
    _apply(store, case.events if seed is None else shuffled(case.events, seed))
    return outcome_of(case, store, Renderer(LAYOUT), CertificateCache(), kept)


def outcome_of(
    case: Case, store: Store, renderer: Renderer, cache: CertificateCache, kept: Mapping[str, Certificate]
) -> Outcome:
    translation = _translate(store, case.settings, kept, cache)
    return Outcome(case, store, translation, renderer.render(translation.configuration))


def shuffled(events: Sequence[Event], seed: int) -> list[Event]:
    mixed = list(events)
    random.Random(seed).shuffle(mixed)
    return mixed


def _apply(store: Store, events: Iterable[Event]) -> None:
    for event in events:
        store.apply(event)


def _translate(
    store: Store, settings: Settings, kept: Mapping[str, Certificate], cache: CertificateCache | None = None
) -> Translation:
    now = int(settings.now.timestamp())
    return translate(store.snapshot(), settings.options, now=now, kept=kept, cache=cache)


# -- reading


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


# -- writing


def _finding(found: Diagnostic) -> str:
    where = f" {found.field}" if found.field.text else ""
    hint = f" {found.hint}" if found.hint else ""
    return f"{found.severity} {found.code} {found.object}{where} {found.effect}: {found.message}{hint}"


def _answer(story: Explanation, *, addresses: bool) -> str:
    if story.redirect_to:
        text = f"{story.status} {story.redirect_to}"
    elif story.status is not None:
        text = f"{story.status} {story.why}"
    elif story.upstream is None:
        text = story.why
    else:
        text = story.upstream.id + (f" as {story.rewritten.uri}" if story.rewritten else "")
        text += f" at {' '.join(story.endpoints)}" if addresses and story.endpoints else ""
    if story.certificate is not None:
        served = story.certificate.certificate
        text += f", certificate {served.secret.path if served and served.secret else 'self-signed'}"
    return text + (", perhaps" if story.undecided else "")


@cache
def _without_settings(settings: Settings) -> str:
    """nginx.conf where nobody has set anything."""
    translation = _translate(Store(frozenset()), settings, {})
    return Renderer(LAYOUT).render(translation.configuration).fragments["nginx.conf"].text


def _difference(before: str, after: str) -> str:
    lines = ndiff(before.splitlines(), after.splitlines())
    return "".join(f"{line[0]} {line[2:].strip()}\n" for line in lines if line[0] in "+-")
