"""Saved files: believed as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller import saved

CONTENT = b'{"ports": [1, 2]}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    saved.save(tmp_path / "file.json", CONTENT)
    return tmp_path / "file.json"


def test_what_was_saved_is_loaded(path: Path) -> None:
    assert saved.load(path) == CONTENT
    assert path.read_bytes().startswith(CONTENT), "people can read it"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_one_bit_is_enough_to_doubt_it(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            with pytest.raises(ValueError, match="altered"):
                saved.load(path)


def test_a_part_of_it_is_not_believed(path: Path) -> None:
    whole = path.read_bytes()
    for part in (*(whole[:size] for size in range(len(whole))), whole + b"\n", whole + whole):
        path.write_bytes(part)
        with pytest.raises(ValueError, match="altered"):
            saved.load(path)


def test_a_failed_save_leaves_what_was_there(path: Path) -> None:
    path.with_name("file.json.writing").mkdir()
    with pytest.raises(IsADirectoryError):
        saved.save(path, b"new")
    assert saved.load(path) == CONTENT


def test_only_names_of_ours_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    (tmp_path / "last-good").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "current").symlink_to("nowhere")
    assert saved.mend(tmp_path) == ("run", "last-good")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "theirs"]
    assert saved.mend(tmp_path) == ()
