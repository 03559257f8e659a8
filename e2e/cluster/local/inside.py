"""The first process in the frame: shapes what its programs see, then runs the node and reaps.

What it mounts is seen in the frame only and goes with it: /proc, /sys and the cgroups of its own
namespaces, an empty /run, and /var/lib and /var/log as they are, with writes kept in memory. So
containerd, kubelet and the network plugins may write to the places they insist on.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.local import cgroups
from e2e.cluster.local.layout import (
    HOST_ADDRESS,
    NODE_ADDRESS,
    NODE_NAME,
    PREFIX_LENGTH,
    SECOND_ADDRESS,
    Layout,
)
from e2e.controlplane.cluster import SERVICE_RANGE

_MEMORY = Path("/run")
_COVERED = (Path("/var/lib"), Path("/var/log"))
# kubelet sets these for the whole machine unless they have its values: let it see that they do.
_KUBELET_WANTS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_LINK_SECONDS = 10.0


def main(folder: str, hierarchies: str, sandbox_image: str, archive: str) -> int:
    """Prepare the frame and run the node in a child until it ends."""
    layout = Layout(Path(folder))
    seen = [
        cgroups.Hierarchy(Path(each["mount_point"]), each["kind"], each["options"]) for each in json.loads(hierarchies)
    ]
    socket.sethostname(NODE_NAME)
    _await_link()
    _configure_network()
    _mount_views(layout, seen)
    child = os.fork()
    if child == 0:
        from e2e.cluster.local import node  # here: the first process stays small

        node.run(layout, sandbox_image, archive)
    return _reap_until(child)


def _reap_until(child: int) -> int:
    """Take leave of every process that lost its parent; end when `child` does."""
    while True:
        process, status = os.wait()
        if process == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _await_link() -> None:
    deadline = time.monotonic() + _LINK_SECONDS
    while "eth0" not in (name for _, name in socket.if_nameindex()):
        if time.monotonic() > deadline:
            raise TimeoutError("no interface to the outside")
        time.sleep(0.02)


def _configure_network() -> None:
    _ip("link", "set", "lo", "up")
    for address in (NODE_ADDRESS, SECOND_ADDRESS):
        _ip("address", "add", f"{address}/{PREFIX_LENGTH}", "dev", "eth0")
    _ip("link", "set", "eth0", "up")
    # Only for the choice of the sender's address: kube-proxy rewrites before anything is sent.
    # There is no default route: nothing in the cluster reaches further than this machine.
    _ip("route", "add", SERVICE_RANGE, "via", HOST_ADDRESS)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _mount_views(layout: Layout, seen: Sequence[cgroups.Hierarchy]) -> None:
    kept = os.open(layout.folder, os.O_PATH | os.O_DIRECTORY)
    _mount("--types", "sysfs", "sysfs", "/sys")
    cgroups.mount_inside(seen)
    _mount("--types", "tmpfs", "--options", "mode=755,size=75%", "tmpfs", str(_MEMORY))
    for place in _COVERED:
        _cover(place)
    if any(place in layout.folder.parents for place in _COVERED):
        _mount("--bind", f"/proc/self/fd/{kept}", str(layout.folder))
    os.close(kept)
    _show_kubelet_its_values()


def _show_kubelet_its_values() -> None:
    # In a file system of their own: kubelet's statistics take the last mount of one for all of it.
    values = _MEMORY / "sysctl"
    values.mkdir()
    _mount("--types", "tmpfs", "tmpfs", str(values))
    for name, value in _KUBELET_WANTS.items():
        shown = values / name
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.write_text(f"{value}\n")
        _mount("--bind", str(shown), f"/proc/sys/{name}")


def _cover(place: Path) -> None:
    name = place.name
    upper, work = _MEMORY / "covers" / name, _MEMORY / "covers" / f"{name}.work"
    for folder in (upper, work):
        folder.mkdir(parents=True)
    options = f"lowerdir={place},upperdir={upper},workdir={work}"
    _mount("--types", "overlay", "--options", options, "overlay", str(place))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
