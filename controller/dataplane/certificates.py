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
        self._owner = owner
        self._digests: dict[str, bytes] = {}

    def write(self, files: Mapping[str, SecretBytes | bytes]) -> tuple[str, ...]:
        """Make these files be there, by name; others stay. Returns the names whose content changed.

        Raises OSError where the disk fails, `ValueError` for a name that is not a plain file name.
        """
        self._prepare()
        sync = len(files.keys() - self._digests.keys()) <= FSYNC_LIMIT
        return tuple(name for name, content in files.items() if self._replace(name, _reveal(content), sync=sync))

    def keep_only(self, names: Collection[str]) -> None:
        """Remove every other file."""
        for path in self._directory.iterdir():
            if path.name not in names:
                path.unlink()
                self._digests.pop(path.name, None)

    def _replace(self, name: str, content: bytes, *, sync: bool) -> bool:
        if not name or "/" in name or name.startswith(".") or name.endswith(_WRITING):
            raise ValueError(f"not a name of a certificate file: {name!r}")
        digest = hashlib.sha256(content).digest()
        path = self._directory / name
        known = self._digests.get(name) or _digest_of(path)
        self._digests[name] = digest
        if known == digest:
            return False
        self._write(path, content, sync=sync)
        return True

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

    def _give(self, descriptor: int) -> None:
        if self._owner and os.geteuid() == 0:
            user = pwd.getpwnam(self._owner)
            os.fchown(descriptor, user.pw_uid, user.pw_gid)


def _digest_of(path: Path) -> bytes:
    with suppress(OSError):
        return hashlib.sha256(path.read_bytes()).digest()
    return b""


def _reveal(content: SecretBytes | bytes) -> bytes:
    return content.reveal() if isinstance(content, SecretBytes) else content
