"""Flags and environment as one frozen value. Nothing else in the program reads `os.environ`.

Names and meanings are those of ingress-nginx where it had the flag, so that existing `extraArgs` keep working.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.dataplane.turn import ReloadLimits
from controller.model.errors import UsageError
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey


@dataclass(frozen=True, slots=True)
class Settings:
    """What `headrace run` was asked to do. Ports are TCP ports, times are seconds, empty strings mean "not given"."""

    options: Options = field(default_factory=Options)
    # where objects come from
    manifests: Path | None = None
    kubeconfig: str = ""
    apiserver_host: str = ""
    # data plane
    nginx: str = ""
    state_dir: Path = Path("/var/lib/headrace")
    http_port: int = 80
    https_port: int = 443
    plain_http_port: int = 0
    plain_https_port: int = 0
    public_https_port: int = 443
    bind_addresses: tuple[str, ...] = ()
    default_server_port: int = 0
    reloads: ReloadLimits = field(default_factory=ReloadLimits)
    shutdown_grace_period: float = 0.0
    post_shutdown_grace_period: float = 0.0
    access_log: str = "/dev/stdout"
    allow_local_external_names: bool = False
    # people
    healthz_host: str = ""
    healthz_port: int = 10254
    log_format: str = "auto"
    verbosity: int = 2
    # cluster
    publish_service: ObjectKey | None = None
    publish_status_addresses: tuple[str, ...] = ()
    report_node_internal_ip_address: bool = False
    update_status: bool = True
    update_status_on_shutdown: bool = True
    status_update_interval: float = 60.0
    election_id: str = "ingress-controller-leader"
    election_ttl: float = 30.0
    leader_election: bool = True
    sync_events: bool = True
    pod_name: str = ""
    pod_namespace: str = ""
    shadow: bool = False
    """Read and serve, and write nothing to the cluster: no status, no Events, no Lease."""


def default_state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """`/var/lib/headrace` for root, else below `$XDG_STATE_HOME` (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/headrace")
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "headrace"


def default_kubeconfig(environ: Mapping[str, str] = os.environ) -> str:
    """`$KUBECONFIG`, else ~/.kube/config, where there is such a file; as kubectl has it."""
    wanted = environ.get("KUBECONFIG", "").split(os.pathsep)[0] or str(Path.home() / ".kube" / "config")
    return wanted if Path(wanted).is_file() else ""


def pod_identity(environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Name and namespace of our own pod, from the downward API variables that ingress-nginx used."""
    return environ.get("POD_NAME", ""), environ.get("POD_NAMESPACE", "")


def object_key(kind: Kind, flag: str, text: str) -> ObjectKey | None:
    """`namespace/name` of a flag. Raises `UsageError` where the text is something else."""
    if not text:
        return None
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name or "/" in name:
        raise UsageError(f"{flag} takes namespace/name, not {text!r}")
    return ObjectKey(kind, namespace, name)
