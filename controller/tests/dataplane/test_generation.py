"""Generations on disk: whole or not there, whatever happens in between."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.dataplane import machine
from controller.dataplane.generation import GenerationStore
from controller.dataplane.machine import Answer, Command, Done, Failed, Served, apply_steps
from controller.model.fragments import Fragment, FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.tests.dataplane.conftest import listing


def of(**texts: str) -> FragmentSet:
    servers = (Fragment(f"servers/{name}.conf", text, stub="") for name, text in texts.items())
    return FragmentSet.of((Fragment("nginx.conf", "main"), *servers))


@pytest.fixture
def store(plain_layout: Layout) -> GenerationStore:
    store = GenerationStore(plain_layout)
    assert store.recover() is None
    return store


def put(store: GenerationStore, wanted: FragmentSet) -> int:
    number = store.next_number()
    store.write(number, wanted)
    store.publish(number)
    store.keep(number, wanted.digest)
    return number


def texts(directory: Path) -> dict[str, str]:
    return {p.relative_to(directory).as_posix(): p.read_text() for p in directory.rglob("*") if p.is_file()}


def test_a_directory_holds_exactly_the_fragments_and_its_number(store: GenerationStore, plain_layout: Layout) -> None:
    put(store, of(a="1", b="1"))
    assert texts(Path(plain_layout.current)) == {
        "nginx.conf": "main",
        "generation.conf": 'map "" $hr_generation { default "1"; }\n',
        "servers/a.conf": "1",
        "servers/b.conf": "1",
    }


def test_unchanged_files_are_shared_and_changed_ones_are_not(store: GenerationStore) -> None:
    one, two = put(store, of(a="1", b="1")), put(store, of(a="1", b="2"))
    inode = [[(store.directory(n) / f"servers/{f}.conf").stat().st_ino for f in "ab"] for n in (one, two)]
    assert inode[0][0] == inode[1][0]
    assert inode[0][1] != inode[1][1]


def test_writing_again_does_not_reach_into_the_generation_in_force(store: GenerationStore) -> None:
    one = put(store, of(a="1", b="1"))
    store.write(2, of(a="1", b="1"))
    store.write(2, of(a="2", c="1"))
    store.write(2, of(a="3"))
    assert texts(store.directory(one))["servers/a.conf"] == "1"
    assert sorted(texts(store.directory(2))) == ["generation.conf", "nginx.conf", "servers/a.conf"]
    assert texts(store.directory(2))["servers/a.conf"] == "3"


def test_a_file_system_without_hard_links(store: GenerationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    put(store, of(a="1"))
    two = put(store, of(a="1", b="1"))
    assert texts(store.directory(two))["servers/a.conf"] == "1"


def test_only_the_last_few_are_kept(store: GenerationStore, plain_layout: Layout) -> None:
    for n in range(6):
        put(store, of(a=str(n)))
    assert listing(plain_layout.generations_dir) == ["4", "5", "6"]


def test_a_discarded_generation_is_gone_but_never_the_one_in_force(store: GenerationStore) -> None:
    one = put(store, of(a="1"))
    store.write(2, of(a="2"))
    store.discard(2)
    store.discard(one)
    assert not store.directory(2).exists()
    assert store.directory(one).exists()
    assert store.next_number() == 2


_SETS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), max_size=5)


@given(st.lists(st.tuples(_SETS, st.sampled_from(("put", "put", "put", "discard", "twice", "fault", "restart")))))
def test_a_directory_that_is_used_again_holds_nothing_of_what_it_held(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[tuple[dict[str, str], str]]
) -> None:
    layout = Layout(str(tmp_path_factory.mktemp("state")), "/run", NginxBinary("/nonexistent/nginx", (1, 31, 3)))
    store = GenerationStore(layout)
    store.recover()
    served: FragmentSet | None = None
    for wanted, action in rounds:
        number = store.next_number()
        if action == "restart":
            store = GenerationStore(layout)
            found = store.recover()
            assert (found and found.fragments.digest) == (served and served.digest)
        elif action == "fault":
            with pytest.raises(OSError, match="too long"):
                store.write(number, of(**wanted, **{"z" * 300: "1"}))
            store.discard(number)
        else:
            if action == "twice":
                store.write(number, of(**dict.fromkeys(wanted, "0"), g="0"))
            store.write(number, of(**wanted))
            assert _servers(store.directory(number)) == wanted
            if action == "discard":
                store.discard(number)
            else:
                store.publish(number)
                store.keep(number, of(**wanted).digest)
                served = of(**wanted)
    if served is not None:
        assert _servers(Path(layout.current)) == {Path(p).stem: f.text for p, f in served.fragments.items() if "/" in p}


def _servers(directory: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in directory.glob("servers/*.conf")}


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "generation.conf", ""])
def test_a_path_that_leads_elsewhere_is_refused(store: GenerationStore, path: str) -> None:
    with pytest.raises(ValueError, match="not a path of a fragment"):
        store.write(1, FragmentSet.of([Fragment(path, "x")]))


def test_after_a_restart_the_last_good_generation_is_read_back(store: GenerationStore, plain_layout: Layout) -> None:
    wanted = of(a="1")
    put(store, wanted)
    again = GenerationStore(plain_layout)
    good = again.recover()
    assert good
    assert (good.number, good.fragments.digest) == (1, wanted.digest)
    assert again.next_number() == 2
    put(again, of(a="1", b="1"))
    assert (again.directory(2) / "servers/a.conf").stat().st_nlink == 2


@pytest.mark.parametrize("damage", ["cut", "missing", "more", "binary", "marker", "no-marker"])
def test_a_damaged_generation_is_not_used(store: GenerationStore, plain_layout: Layout, damage: str) -> None:
    put(store, of(a="1", b="1"))
    file = Path(plain_layout.current) / "servers/a.conf"
    marker = Path(plain_layout.state_dir) / "last-good"
    match damage:
        case "cut":
            file.write_text("")
        case "missing":
            file.unlink()
        case "more":
            file.with_name("x.conf").write_text("")
        case "binary":
            file.write_bytes(b"\xff\xfe")
        case "marker":
            marker.write_text("one")
        case "no-marker":
            marker.unlink()
    again = GenerationStore(plain_layout)
    assert again.recover() is None
    assert put(again, of(a="1")) == 2


class Crash(Exception):
    """The controller is gone."""


class Disk:
    """Performs the machine's commands on a real store until a given step, and there it crashes."""

    def __init__(self, store: GenerationStore, crash_at: int, *, before: bool, failing: str = "") -> None:
        self._store = store
        self._left = crash_at
        self._before = before
        self._failing = failing

    def __call__(self, command: Command) -> Answer:
        self._left -= 1
        if self._left < 0 and self._before:
            raise Crash
        answer = self._perform(command)
        if self._left < 0:
            raise Crash
        return answer

    def _perform(self, command: Command) -> Answer:
        match command:
            case machine.Write(number, fragments):
                self._store.write(number, fragments)
            case machine.Switch(number):
                self._store.publish(number)
            case machine.Keep(number, digest):
                self._store.keep(number, digest)
            case machine.Discard(number):
                self._store.discard(number)
            case machine.Probe(2) if self._failing == "Probe":
                return Failed("silent")
        return Done()


def run(served: Served, wanted: FragmentSet, number: int, disk: Disk) -> Served:
    steps = apply_steps(served, wanted, number, "edit")
    command = next(steps)
    while True:
        try:
            command = steps.send(disk(command))
        except StopIteration as end:
            after: Served = end.value[1]
            return after


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("failing", ["", "Probe"])
@pytest.mark.parametrize("crash_at", range(9))
def test_a_crash_between_any_two_steps(
    store: GenerationStore, plain_layout: Layout, crash_at: int, failing: str, before: bool
) -> None:
    """Afterwards the generation in force is whole, and it is the one that was proved last."""
    old, new = of(a="1", b="1"), of(a="2", c="1")
    served = run(Served(), old, 1, Disk(store, 99, before=True))
    kept_at = 6 if before else 5
    with suppress(Crash):
        run(served, new, 2, Disk(store, crash_at, before=before, failing=failing))
    again = GenerationStore(plain_layout)
    good = again.recover()
    assert good
    proved = new if not failing and crash_at >= kept_at else old
    assert good.fragments.digest == proved.digest
    current = Path(plain_layout.current)
    assert current.readlink().name == str(good.number)
    assert texts(current)["servers/a.conf"] == proved.fragments["servers/a.conf"].text
    assert listing(plain_layout.generations_dir) == [str(n) for n in range(1, good.number + 1)]
    after = run(Served(good.number, good.fragments.fragments), new, again.next_number(), Disk(again, 99, before=True))
    assert after.fragments.keys() == new.fragments.keys()
    assert texts(current)["servers/a.conf"] == "2"
