"""Manifests in files: what is read, what is refused, and that a directory is followed as it changes."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.k8s.core import ConfigMap
from controller.model.diagnostics import Effect
from controller.model.errors import UsageError
from controller.model.refs import Kind, ObjectKey
from controller.sources.manifests import KINDS, Directory, ManifestSource, load
from controller.state.events import Applied, Deleted, Event, Rejected, Synced
from controller.state.store import Store


def config(name: str, namespace: str = "team", **data: str) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }
    return json.dumps(document)


def key(name: str, kind: Kind = Kind.CONFIG_MAP) -> ObjectKey:
    return ObjectKey(kind, "team", name)


BILLIONS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


def objects(events: list[Event]) -> list[str]:
    return [event.key.name for event in events if isinstance(event, Applied)]


def findings(events: list[Event]) -> list[str]:
    told = [finding for event in events if isinstance(event, Applied) for finding in event.findings]
    told += [event.finding for event in events if isinstance(event, Rejected)]
    return [finding.message for finding in told]


def test_folders_documents_and_lists_are_read(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.yml").write_text(f"---\n{config('a')}\n---\n---\n{config('b')}\n")
    (tmp_path / "list.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n- {config('c')}\n- {config('d')}\n")
    (tmp_path / "one.json").write_text(json.dumps(json.loads(config("e")), indent="\t"))
    (tmp_path / "typed.json").write_text(json.dumps({"kind": "ConfigMapList", "items": [json.loads(config("f"))]}))
    (tmp_path / "notes.txt").write_text(config("x"))
    (tmp_path / ".hidden.yaml").write_text(config("y"))
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "z.yaml").write_text(config("z"))
    events = load(tmp_path)
    assert sorted(objects(events)) == ["a", "b", "c", "d", "e", "f"]
    assert findings(events) == []
    assert {event.kind for event in events if isinstance(event, Synced)} == KINDS


def test_it_is_known_where_an_object_stands(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"# first\n{config('a')}\n---\n# second\nkind: List\nitems:\n- {config('b')}\n")
    directory = Directory(tmp_path)
    directory.changes()
    assert directory.locations == {key("a"): f"{tmp_path}/a.yaml:2", key("b"): f"{tmp_path}/a.yaml:7"}


def test_a_broken_file_names_its_line_and_keeps_what_was_good(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "a.yaml"
    file.parent.mkdir()
    file.write_text(config("a"))
    (tmp_path / "b.yaml").write_text(config("b"))
    directory, store = Directory(tmp_path), Store(frozenset())
    for event in directory.changes():
        store.apply(event)
    file.write_text("kind: ConfigMap\nmetadata:\n  name: [\n")
    (event,) = directory.changes()
    assert isinstance(event, Rejected)
    assert event.key == ObjectKey(Kind.FILE, "", "sub/a.yaml")
    assert event.finding.message.startswith("sub/a.yaml:4 is not YAML: ")
    assert event.finding.effect is Effect.PREVIOUS_VERSION_SERVED
    store.apply(event)
    assert {found.name for found in store.snapshot().configmaps} == {"a", "b"}
    assert directory.changes() == []
    file.write_text(config("a", new="yes"))
    for event in directory.changes():
        store.apply(event)
    assert store.snapshot().configmaps[key("a")].data == {"new": "yes"}
    assert store.snapshot().findings == {}


def test_a_file_that_never_was_good_brings_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{config('a')}\n---\n{{\n")
    (event,) = Directory(tmp_path).changes()
    assert isinstance(event, Rejected)
    assert event.finding.effect is Effect.OBJECT_IGNORED


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\x00", id="control-character"),
        pytest.param("a: !!python/object/apply:os.system [ls]", id="python"),
        pytest.param("? [a]\n: b", id="list-as-key"),
        pytest.param("&a [*a]", id="endless"),
        pytest.param("[" * 5_000, id="deep"),
        pytest.param(BILLIONS, id="billions"),
    ],
)
def test_hostile_text_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(config("b"))
    events = Directory(tmp_path).changes()
    assert objects(events) == ["b"]
    assert text.startswith("&a") or len(findings(events)) == 1


def test_scalars_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    text = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: a, namespace: team, creationTimestamp: 2024-05-01T10:00:00Z}
        data: {date: 2024-05-01, time: 12:30, equals: =, text: "5"}
    """
    (tmp_path / "a.yaml").write_text(textwrap.dedent(text))
    found = Directory(tmp_path).changes()[0]
    assert isinstance(found, Applied)
    assert isinstance(found.object, ConfigMap)
    assert found.object.data == {"date": "2024-05-01", "time": "12:30", "equals": "=", "text": "5"}
    assert found.object.metadata.creation_timestamp == "2024-05-01T10:00:00Z"


def test_the_first_of_two_wins_and_is_told_of_the_other(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(config("a", of="b"))
    (tmp_path / "a.yaml").write_text(config("a", of="a"))
    directory, store = Directory(tmp_path), Store(frozenset())
    for event in directory.changes():
        store.apply(event)
    assert store.snapshot().configmaps[key("a")].data == {"of": "a"}
    (finding,) = store.snapshot().findings[key("a")]
    assert finding.code == "object-unreadable"
    assert "a.yaml:1 is used, b.yaml:1 is not" in finding.message
    (tmp_path / "b.yaml").unlink()
    for event in directory.changes():
        store.apply(event)
    assert store.snapshot().findings == {}


def test_the_same_object_twice_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{config('a', of='1')}\n---\n{config('a', of='2')}\n")
    (event,) = Directory(tmp_path).changes()
    assert isinstance(event, Applied)
    assert isinstance(event.object, ConfigMap)
    assert event.object.data == {"of": "1"}
    assert "a.yaml:1 is used, a.yaml:3 is not" in event.findings[0].message


@pytest.mark.parametrize(
    ("version", "kind", "told"),
    [
        ("serving.knative.dev/v1", "Service", []),
        ("apps/v1", "Deployment", []),
        ("v2", "Service", ["apiVersion v2 is not known; write v1."]),
        ("discovery.k8s.io/v1beta1", "EndpointSlice", ["apiVersion discovery.k8s.io/v1beta1 is not known; "
                                                        "write discovery.k8s.io/v1."]),
        ("", "Ingress", ["It has no apiVersion."]),
    ],
)  # fmt: skip
def test_kinds_of_other_groups_are_not_ours(tmp_path: Path, version: str, kind: str, told: list[str]) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}))
    events = Directory(tmp_path).changes()
    assert objects(events) == []
    assert findings(events) == told


def test_changes_are_what_differs(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text(config(name))
    directory = Directory(tmp_path)
    directory.changes()
    (tmp_path / "a.yaml").write_text(config("a", new="yes"))
    (tmp_path / "b.yaml").unlink()
    (tmp_path / "c.yaml").rename(tmp_path / "d.yaml")
    events = directory.changes()
    assert objects(events) == ["a"]
    assert [event.key for event in events if isinstance(event, Deleted)] == [key("b")]


def test_a_directory_that_is_gone_takes_nothing_down(tmp_path: Path) -> None:
    root = tmp_path / "m"
    root.mkdir()
    (root / "a.yaml").write_text(config("a"))
    directory = Directory(root)
    directory.changes()
    shutil.rmtree(root)
    assert directory.changes() == []


@pytest.mark.parametrize("name", ["missing", "file.yaml"])
def test_what_is_no_directory_is_a_wrong_flag(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.yaml").write_text("")
    with pytest.raises(UsageError, match=name):
        load(tmp_path / name)


def test_reading_files_does_not_load_the_kubernetes_client(tmp_path: Path) -> None:
    code = "import sys, pathlib; from controller.sources.manifests import load; load(pathlib.Path(sys.argv[1]));"
    code += "assert not {'kubernetes', 'aiohttp'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


# -- watched


class Told:
    """Collects events, and waits for the store to look as it should."""

    def __init__(self) -> None:
        self.store = Store(KINDS)
        self._news = asyncio.Event()

    def emit(self, event: Event) -> None:
        self.store.apply(event)
        self._news.set()

    async def until(self, names: set[str], seconds: float = 3) -> None:
        async with asyncio.timeout(seconds):
            while not self.store.ready or {found.name for found in self.store.snapshot().configmaps} != names:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def watched(root: Path) -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(ManifestSource(root).run(told.emit))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watched_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a"))
    async with watched(tmp_path) as told:
        await told.until({"a"})
        (tmp_path / "b.yaml").write_text(config("b"))
        await told.until({"a", "b"})
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "c.yaml").write_text(config("c"))
        await told.until({"a", "b", "c"})
        (tmp_path / "new").write_text(config("d"))
        (tmp_path / "new").rename(tmp_path / "a.yaml")
        await told.until({"d", "b", "c"})
        (tmp_path / "b.yaml").unlink()
        await told.until({"d", "c"})


async def test_a_mounted_configmap_is_followed(tmp_path: Path) -> None:
    """Kubernetes mounts links through `..data`, and changes all files at once by renaming that one link."""

    def mount(version: str, *names: str) -> None:
        (tmp_path / f"..{version}").mkdir()
        for name in names:
            (tmp_path / f"..{version}" / f"{name}.yaml").write_text(config(name, version=version))
        (tmp_path / "..data_tmp").symlink_to(f"..{version}")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    mount("1", "a", "b")
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
    async with watched(tmp_path) as told:
        await told.until({"a", "b"})
        assert told.store.snapshot().findings == {}
        mount("2", "a")
        await told.until({"a"})
        assert told.store.snapshot().configmaps[key("a")].data == {"version": "2"}


async def test_a_directory_that_is_swapped_is_followed(tmp_path: Path) -> None:
    root, other = tmp_path / "m", tmp_path / "other"
    for directory, name in ((root, "a"), (other, "b")):
        directory.mkdir()
        (directory / "x.yaml").write_text(config(name))
    async with watched(root) as told:
        await told.until({"a"})
        root.rename(tmp_path / "old")
        other.rename(root)
        await told.until({"b"}, 8)
        (root / "y.yaml").write_text(config("c"))
        await told.until({"b", "c"})
