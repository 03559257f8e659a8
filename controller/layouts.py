"""Finds out what this machine gives us and writes it into a Layout: ports, sockets, users, limits.

What nginx's running configuration refers to (ports of the responder and of the internal server) is kept in the state
directory, so that a restarted controller is found at the same places by an nginx that never stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import secrets
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from controller import saved
from controller.model.errors import UsageError
from controller.model.layout import Layout, NginxBinary
from controller.model.options import Options
from controller.settings import Settings

logger = logging.getLogger(__name__)

SOCKET_PATH_LIMIT = 107
"""Bytes of a unix socket's path on Linux (`sun_path`, unix(7))."""

LOWEST, HIGHEST = 20_000, 29_999
"""Below NodePorts (30000-32767) and the usual `ip_local_port_range` (32768-60999)."""

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu")


@dataclass(frozen=True, slots=True)
class SavedPorts:
    """Loopback ports of the last run."""

    resolvers: tuple[int, ...] = ()
    sentinel: int = 0

    @classmethod
    def load(cls, state_dir: Path) -> SavedPorts:
        """Nothing where there is no file, or one that is not as we wrote it."""
        try:
            kept = json.loads(saved.load(state_dir / "ports.json"))
            return cls(tuple(int(port) for port in kept["resolvers"]), int(kept["sentinel"]))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as fault:
            logger.warning("saved ports not usable", extra={"file": "ports.json", "error": str(fault)})
            return cls()

    def save(self, state_dir: Path) -> None:
        """Nothing is written where that is what the last run saved; a disk that fails costs the next start its help."""
        text = json.dumps({"resolvers": list(self.resolvers), "sentinel": self.sentinel}).encode()
        path = state_dir / "ports.json"
        try:
            with suppress(OSError, ValueError):
                if saved.load(path) == text:
                    return
            saved.save(path, text)
        except OSError as fault:
            logger.warning("ports not saved", extra={"file": path.name, "error": str(fault)})


def prepare_directories(settings: Settings) -> tuple[Path, Path]:
    """The state directory and the one for sockets. Raises `UsageError` where they cannot be made."""
    state = settings.state_dir
    run = state / "run"
    if len(os.fsencode(run / "probe.sock")) > SOCKET_PATH_LIMIT:
        name = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
        run = Path(tempfile.gettempdir()) / f"headrace-{os.geteuid()}-{name}"
    try:
        for name in saved.mend(state):
            logger.warning("state of the wrong kind removed", extra={"file": name})
        for directory in (state, run, state / "temp"):
            directory.mkdir(parents=True, exist_ok=True)
            # An emptyDir belongs to root, and is open to all.
            if directory.stat().st_uid == os.geteuid():
                directory.chmod(0o755)
    except OSError as error:
        raise UsageError(f"--state-dir {state} cannot be used: {error.strerror}") from error
    if run.stat().st_uid != os.geteuid():
        raise UsageError(f"{run} belongs to somebody else")
    return state, run


def sentinel_port_of(settings: Settings, kept: SavedPorts) -> int:
    """Where nginx's internal 503 server listens on 127.0.0.1."""
    return settings.default_server_port or _free_port(kept.sentinel, may_be_nginx=_nginx_runs(settings.state_dir))


def layout_of(
    settings: Settings,
    nginx: NginxBinary,
    directories: tuple[Path, Path],
    *,
    worker_user: str,
    resolvers: Sequence[str],
    sentinel: int,
) -> Layout:
    """`resolvers`: `address:port` of the DNS responder, which listens already."""
    state, run = directories
    SavedPorts(tuple(int(address.rpartition(":")[2]) for address in resolvers), sentinel).save(state)
    return Layout(
        state_dir=str(state),
        run_dir=str(run),
        nginx=nginx,
        http_port=settings.http_port,
        https_port=settings.https_port,
        plain_http_port=settings.plain_http_port,
        plain_https_port=settings.plain_https_port,
        bind_addresses=settings.bind_addresses,
        ipv6=nginx.has("ipv6") and _has_ipv6(),
        resolvers=tuple(resolvers),
        sentinel_port=sentinel,
        worker_user=worker_user,
        workers=available_processors(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        public_https_port=settings.public_https_port,
        access_log=usable_log(settings.access_log, state),
    )


def with_own_ports(settings: Settings, layout: Layout) -> Options:
    """The options with what this machine says: ports that are taken already, and whether nginx can do streams."""
    taken = [
        *settings.options.reserved_ports,
        (layout.sentinel_port, "internal server"),
        *((int(address.rpartition(":")[2]), "endpoints") for address in layout.resolvers),
    ]
    able = layout.nginx.has("stream") and layout.nginx.has("stream-ssl-preread")
    return replace(settings.options, reserved_ports=tuple(taken), has_stream=able)


def available_processors() -> int:
    """Processors we may use: the affinity mask, and the quota of our control group, rounded up."""
    allowed = len(os.sched_getaffinity(0))
    quota = _cgroup_quota()
    return max(1, min(allowed, quota) if quota else allowed)


def usable_log(wanted: str, state: Path) -> str:
    """The access log as nginx can open it: /dev/stdout cannot be opened anew where it is a socket."""
    if wanted not in ("/dev/stdout", "/dev/stderr"):
        return wanted
    try:
        os.close(os.open(wanted, os.O_WRONLY | os.O_APPEND))
    except OSError:
        return str(state / "access.log")
    return wanted


def _cgroup_quota() -> int:
    with suppress(OSError, ValueError):
        quota, period = _CGROUP_V2.read_text().split()
        return 0 if quota == "max" else -(-int(quota) // int(period))
    with suppress(OSError, ValueError):
        quota_us = int((_CGROUP_V1 / "cpu.cfs_quota_us").read_text())
        period_us = int((_CGROUP_V1 / "cpu.cfs_period_us").read_text())
        return 0 if quota_us <= 0 else -(-quota_us // period_us)
    return 0


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def _nginx_runs(state: Path) -> bool:
    with suppress(OSError, ValueError):
        os.kill(int((state / "nginx.pid").read_text()), 0)
        return True
    return False


def _free_port(wanted: int, *, may_be_nginx: bool) -> int:
    """The port of the last run where it is free, or taken by the nginx that we left running; else one below the range
    from which the kernel takes ports for connections, so that it is still free when nginx binds it."""
    if wanted and may_be_nginx:
        return wanted
    for port in filter(None, (wanted, *(LOWEST + secrets.randbelow(HIGHEST - LOWEST) for _ in range(50)))):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise UsageError(f"no free port on 127.0.0.1 between {LOWEST} and {HIGHEST}")
