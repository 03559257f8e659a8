"""Small files that outlive the process: replaced as a whole, and believed only where every byte is as it was written.

A file is its content, a line feed and the SHA-256 of the content. So one that a disk cut short or altered is found out
instead of leading traffic astray: all that is saved is a help for the next start, never a need.

`mend` makes room where something stands in the way of what we write: a directory in place of a file, a file in place of
a directory, or what belongs to another user.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

DIRECTORIES = ("certificates", "generations", "run", "temp", "temp/body", "temp/proxy", "temp/fastcgi")
FILES = ("last-good", "ports.json", "endpoints.json", "nginx.pid", "run/requests.log")
SOCKETS = ("run/hold.sock", "run/probe.sock", "run/https.sock", "run/refused.sock")
_WRITING = ".writing"
_TRAILER = 66
"""Bytes of the line that is added."""


def save(path: Path, content: bytes) -> None:
    """Raises OSError where the disk fails; the file is then what it was before."""
    fresh = path.with_name(path.name + _WRITING)
    fresh.write_bytes(_sealed(content))
    fresh.replace(path)


def load(path: Path) -> bytes:
    """Raises OSError where it cannot be read, ValueError where it is not whole."""
    text = path.read_bytes()
    content = text[:-_TRAILER]
    if text != _sealed(content):
        raise ValueError("cut short or altered")
    return content


def _sealed(content: bytes) -> bytes:
    return b"%s\n%s\n" % (content, hashlib.sha256(content).hexdigest().encode())


def mend(state: Path) -> tuple[str, ...]:
    """Remove what is of the wrong kind or not ours to use; the names of what was in the way.

    Only names that we use ourselves are looked at. What cannot be removed is renamed to `NAME.unusable`. Raises OSError
    where that cannot be done either.
    """
    return tuple(path.relative_to(state).as_posix() for path in _in_the_way(state) if _clear(path))


def _in_the_way(state: Path) -> Iterator[Path]:
    yield from (path for path in (state / name for name in DIRECTORIES) if not _usable(path, directory=True))
    files = (*FILES, *SOCKETS, *(f"{name}{_WRITING}" for name in FILES))
    yield from (path for path in (state / name for name in files) if not _usable(path, directory=False))
    if (state / "certificates").is_dir():
        # There may be thousands of files, and a file that is not ours is replaced without ado.
        yield from [Path(one.path) for one in os.scandir(state / "certificates") if one.is_dir() and ".pem" in one.name]
    if os.path.lexists(state / "current") and not (state / "current").is_symlink():
        yield state / "current"


def _usable(path: Path, *, directory: bool) -> bool:
    """Also what is not there, or leads nowhere."""
    if not path.exists():
        return directory is False or not path.is_symlink()
    return path.is_dir() is directory and os.access(path, os.R_OK | os.W_OK | (os.X_OK if directory else 0))


def _clear(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        path.rename(path.with_name(f"{path.name}.unusable"))
    return True
