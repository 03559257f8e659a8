"""The saved state is a help, never a need: whatever has become of it, the controller starts, serves all, and says so.

Each file of the state directory in turn is missing, cut short, altered by one bit, of the wrong kind or somebody
else's, after the machine lost everything but its disk; and again while nginx goes on, where clients must not notice.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.tests.live.headrace import Headrace
from e2e.torture.faults import kill_all, mostly
from e2e.torture.powerless import USER
from e2e.torture.world import World, open_directory, running_world

Change = Callable[[Path, random.Random], None]

SOMEBODY = 12_345
"""A user of no name."""


def missing(path: Path, _: random.Random) -> None:
    path.unlink()


def directory(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("in it")


def flipped(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        rewrite(path, bytes(content))


def cut(share: Callable[[int], int]) -> Change:
    def change(path: Path, _: random.Random) -> None:
        content = path.read_bytes()
        rewrite(path, content[: share(len(content))])

    return change


def rewrite(path: Path, content: bytes) -> None:
    """A file of its own: generations share theirs."""
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


CHANGES: dict[str, Change] = {
    "missing": missing,
    "a directory": directory,
    "empty": cut(lambda size: 0),
    "one byte": cut(lambda size: 1),
    "half": cut(lambda size: size // 2),
    "all but one byte": cut(lambda size: max(0, size - 1)),
    "a bit flipped": flipped,
    "another bit flipped": flipped,
}


@pytest.fixture(scope="module")
def fallen() -> Iterator[World]:
    """A world that has lost power; its state is in `state.saved`."""
    with open_directory() as directory, running_world(directory) as world:
        for _ in range(2):
            world.change()
            world.until_changed()
        world.headrace.until(lambda: (world.headrace.state / "endpoints.json").exists())
        kill_all(world.headrace)
        world.headrace.state.rename(saved(world))
        yield world


def saved(world: World) -> Path:
    return world.headrace.directory / "state.saved"


def files(state: Path) -> list[str]:
    """Of the state directory, without old generations, which nothing reads."""
    good = (state / "last-good").read_text().split()[0]
    found = (path for path in sorted(state.rglob("*")) if path.is_file() or path.is_socket() or path.is_symlink())
    names = [path.relative_to(state).as_posix() for path in found]
    return [name for name in names if not name.startswith("generations/") or name.startswith(f"generations/{good}/")]


def restore(world: World) -> None:
    subprocess.run(["rm", "-rf", str(world.headrace.state)], check=True)
    subprocess.run(["cp", "-a", str(saved(world)), str(world.headrace.state)], check=True)


def events(headrace: Headrace, since: int) -> list[dict[str, object]]:
    """What the controller logged from this byte on."""
    lines = headrace.log.read_bytes()[since:].decode(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def told(said: list[dict[str, object]]) -> bool:
    """Whether it says which file was not usable, that the last good generation is not, or wrote a certificate anew."""
    unusable = ("last good generation not usable", "last good generation not served")
    return any("file" in one or one["message"] in unusable or one.get("certificates_written") for one in said)


def start(world: World) -> tuple[str, list[dict[str, object]]]:
    """What is wrong after a start, in words, and what was logged."""
    headrace, since = world.headrace, world.headrace.log.stat().st_size
    try:
        headrace.start()
        wrong = ""
        for what in (world.all_right, world.changed, world.moved):
            headrace.until(what, 3, what.__name__)
    except AssertionError as fault:
        wrong = f"does not come up: {str(fault).splitlines()[0]}"
    said = events(headrace, since)
    if any("Traceback" in str(one) for one in said):
        wrong += " with a trace"
    return wrong, said


def try_all(world: World, trials: list[tuple[str, str]], chance: random.Random) -> list[str]:
    """What went wrong with each of these files and changes, in words."""
    faults = []
    for name, change in trials:
        restore(world)
        path = world.headrace.state / name
        if path.exists() or path.is_symlink():
            CHANGES[change](path, chance)
        wrong, said = start(world)
        before = (saved(world) / name).read_bytes() if (saved(world) / name).is_file() else b""
        ours = not name.startswith(("run/", "nginx.pid", "access.log", "current"))
        if ours and change != "missing" and before and not told(said):
            wrong += " says nothing"
        if wrong:
            faults.append(f"{name}, {change}: {wrong}: {said[-3:]}")
        kill_all(world.headrace)
    return faults


def test_some_files_are_damaged(fallen: World) -> None:
    """Others with another `HEADRACE_TORTURE_SEED`."""
    seed = int(os.environ.get("HEADRACE_TORTURE_SEED", "6"))
    chance = random.Random(seed)
    names = files(saved(fallen))
    trials = [(name, change) for name in names for change in CHANGES if not skipped(name, change)]
    found = try_all(fallen, chance.sample(trials, 8), chance)
    assert not found, f"seed {seed}\n" + "\n".join(found)


THINGS = ("last-good", "endpoints.json", "ports.json", "generations", "certificates", "run")
WHILE_IT_RUNS = ("last-good", "current", "ports.json", "endpoints.json", "nginx.pid", "certificates/default.pem")


@pytest.mark.parametrize("change", mostly(("half",), ("missing", "a directory", "half")))
def test_clients_do_not_notice(own_world: World, change: str) -> None:
    """nginx goes on while the controller is away, and files are damaged. Window: none."""
    chance = random.Random(change)
    with own_world.load() as load:
        load.warm_up()
        own_world.headrace.until(lambda: (own_world.headrace.state / "endpoints.json").exists())
        for name in WHILE_IT_RUNS:
            own_world.headrace.stop(kill=True)
            if name != "current" or change != "half":
                CHANGES[change](own_world.headrace.state / name, chance)
            own_world.headrace.start()
            own_world.headrace.until(lambda: own_world.all_right() and own_world.changed())
            own_world.change()
            own_world.until_changed()
    load.seen().assert_all_right(at_least=100)


@pytest.mark.parametrize("name", mostly(("generations", "certificates"), THINGS))
def test_it_belongs_to_somebody_else(fallen: World, name: str) -> None:
    """The controller is not root here, as in its image. What cannot be used is put aside."""
    restore(fallen)
    state = fallen.headrace.state
    for owner, path in ((USER, state), (SOMEBODY, state / name)):
        subprocess.run(["chown", "-R", f"{owner}:{owner}", str(path)], check=True)
    (state / name).chmod(0o700)
    before = fallen.headrace.program
    fallen.headrace.program = ("-m", "e2e.torture.powerless")
    try:
        wrong, said = start(fallen)
    finally:
        kill_all(fallen.headrace)
        fallen.headrace.program = before
    assert not wrong and told(said), (wrong, said)


def test_certificates_belong_to_somebody_else(fallen: World) -> None:
    """As after a copy of the directory: nginx's workers could not read them, though every byte is there."""
    restore(fallen)
    for path in (fallen.headrace.state / "certificates").iterdir():
        os.chown(path, SOMEBODY, SOMEBODY)
    wrong, said = start(fallen)
    kill_all(fallen.headrace)
    assert not wrong and told(said), (wrong, said)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("change", CHANGES)
def test_every_file_is_damaged_in_every_way(fallen: World, change: str) -> None:
    chance = random.Random(change)
    found = try_all(fallen, [(name, change) for name in files(saved(fallen)) if not skipped(name, change)], chance)
    assert not found, "\n".join(found)


def skipped(name: str, change: str) -> bool:
    """A socket and a link have no bytes."""
    return (name.endswith(".sock") or name == "current") and change not in ("missing", "a directory")
