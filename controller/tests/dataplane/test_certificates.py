"""Certificate files: whole, private, and written only when they are new."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from controller.dataplane.certificates import CertificateFiles
from controller.model.secretbytes import SecretBytes
from controller.tests.dataplane.conftest import listing


def test_only_new_content_is_written_and_by_replacement(root: Path) -> None:
    files = CertificateFiles(f"{root}/c")
    assert files.write({"a.pem": SecretBytes(b"1"), "b.pem": b"1"}) == ("a.pem", "b.pem")
    before = (root / "c/a.pem").open("rb")
    inode = (root / "c/b.pem").stat().st_ino
    assert files.write({"a.pem": SecretBytes(b"2"), "b.pem": b"1"}) == ("a.pem",)
    assert (before.read(), (root / "c/a.pem").read_bytes()) == (b"1", b"2")
    assert (root / "c/b.pem").stat().st_ino == inode
    before.close()
    assert CertificateFiles(f"{root}/c").write({"a.pem": b"2", "b.pem": b"3"}) == ("b.pem",)


def test_nobody_else_can_read_them(root: Path) -> None:
    CertificateFiles(f"{root}/c", "nobody").write({"a.pem": b"1"})
    for path, mode in ((root / "c", 0o700), (root / "c/a.pem", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        if os.geteuid() == 0:
            assert path.owner() == "nobody"


def test_a_write_cut_short_is_neither_seen_nor_in_the_way(root: Path) -> None:
    files = CertificateFiles(f"{root}/c")
    files.write({"a.pem": b"1"})
    (root / "c/b.pem.writing").write_bytes(b"half")
    files.write({"b.pem": b"2"})
    assert listing(root / "c") == ["a.pem", "b.pem"]


def test_one_that_could_not_be_written_is_written_later(root: Path) -> None:
    files = CertificateFiles(f"{root}/c")
    files.write({"a.pem": b"1"})
    (root / "c/a.pem.writing").mkdir()
    with pytest.raises(OSError, match="writing"):
        files.write({"a.pem": b"2", "b.pem": b"2"})
    assert ((root / "c/a.pem").read_bytes(), (root / "c/b.pem").read_bytes()) == (b"1", b"2"), "the others are"
    (root / "c/a.pem.writing").rmdir()
    assert files.write({"a.pem": b"2", "b.pem": b"2"}) == ("a.pem",)


def test_others_are_removed_when_asked(root: Path) -> None:
    files = CertificateFiles(f"{root}/c")
    files.write({"a.pem": b"1", "b.pem": b"1"})
    files.keep_only(["b.pem"])
    assert listing(root / "c") == ["b.pem"]
    assert files.write({"a.pem": b"1"}) == ("a.pem",)


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".a", "a.writing"])
def test_a_name_that_is_no_plain_file_name(root: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        CertificateFiles(f"{root}/c").write({name: b"1"})
