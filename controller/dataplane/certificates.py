"""Certificate files: replaced as a whole, readable by nginx's workers and by nobody else.

nginx reads them when a client asks for the host (`ssl_certificate` with a variable), as the workers' user. A rotated
certificate is a new file under the same name: no reload. A file that is not needed any more is removed only once a
configuration that does without it has been proved.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from controller.model.secretbytes import SecretBytes

_WRITING = ".writing"

FSYNC_LIMIT = 100
"""More new files than this (the first build of a big cluster) are left to the kernel: what a power failure loses is
written anew at the next start, since contents are compared."""


class CertificateFiles:
    """Owns one directory. `owner` is the workers' user; it matters only where we are root."""

    def __init__(self, directory: str, owner: str = "") -> None:
        self._directory = Path(directory)
        user = pwd.getpwnam(owner) if owner and os.geteuid() == 0 else None
        self._given = (user.pw_uid, user.pw_gid) if user else None
        self._digests: dict[str, bytes] = {}
        self._contents: dict[str, SecretBytes | bytes] = {}
        self._kept: frozenset[str] | None = None

    def write(self, files: Mapping[str, SecretBytes | bytes]) -> tuple[str, ...]:
        """Make these files be there, by name; others stay. Returns the names whose content changed.

        Raises OSError where the disk fails, once all have been tried, and `ValueError` for a name that is not a plain
        file name.
        """
        self._prepare()
        sync = len(files.keys() - self._digests.keys()) <= FSYNC_LIMIT
        changed, faults = [], []
        for name, content in files.items():
            if self._contents.get(name) is content:
                continue
            try:
                changed += [name] if self._replace(name, _reveal(content), sync=sync) else []
                self._contents[name] = content
            except OSError as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return tuple(changed)

    def keep_only(self, names: Collection[str]) -> None:
        """Remove every other file. Those of the last time are not looked for again."""
        if names == self._kept:
            return
        for path in self._directory.iterdir():
            if path.name not in names:
                path.unlink()
                self._digests.pop(path.name, None)
                self._contents.pop(path.name, None)
        self._kept = frozenset(names)

    def _replace(self, name: str, content: bytes, *, sync: bool) -> bool:
        if not name or "/" in name or name.startswith(".") or name.endswith(_WRITING):
            raise ValueError(f"not a name of a certificate file: {name!r}")
        digest = hashlib.sha256(content).digest()
        path = self._directory / name
        changed = digest != (self._digests.get(name) or self._digest_of(path))
        if changed:
            self._write(path, content, sync=sync)
        self._digests[name] = digest
        return changed

    def _write(self, path: Path, content: bytes, *, sync: bool) -> None:
        fresh = path.with_name(path.name + _WRITING)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            self._give(descriptor)
            file.write(content)
            file.flush()
            if sync:
                os.fsync(descriptor)
        fresh.replace(path)

    def _prepare(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._give(descriptor)
        finally:
            os.close(descriptor)

    def _digest_of(self, path: Path) -> bytes:
        """Nothing for a file that is not there, or that belongs to another user than the one who is to read it."""
        with suppress(OSError):
            if path.stat().st_uid == (self._given[0] if self._given else os.geteuid()):
                return hashlib.sha256(path.read_bytes()).digest()
        return b""

    def _give(self, descriptor: int) -> None:
        if self._given:
            os.fchown(descriptor, *self._given)


def _reveal(content: SecretBytes | bytes) -> bytes:
    return content.reveal() if isinstance(content, SecretBytes) else content
