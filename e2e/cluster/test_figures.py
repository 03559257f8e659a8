"""How long from `helm install` to serving, and how much memory an idle pod takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.live.objects import ingress
from e2e.cluster.apps import App, apply
from e2e.cluster.ask import until
from e2e.cluster.fixtures import CLASS, ECHO
from e2e.cluster.provider import LocalCluster
from e2e.cluster.release import HOST_PORT, Release, Shared

TO_SERVING = 20.0
"""Seconds from `helm install` to the first answer of a pod, with the image on the node."""

IDLE_MIB = 120.0
"""Memory of the pod's processes with ten Ingresses: the sum of their proportional set sizes (PSS), which shares out
pages that several of them use, and leaves out the page cache that the kernel takes back when it needs it."""


def test_from_helm_install_to_serving(shared: Shared, echo: App) -> None:
    shared.end()
    started = time.monotonic()
    release = shared.get(HOST_PORT, wait=False)
    until(lambda: release.site.status(f"http://{ECHO}/") == 200, 60, pause=0.02)
    seconds = time.monotonic() - started
    release.ready()
    print(f"\nhelm install to serving: {seconds:.1f} s")
    assert seconds <= TO_SERVING


@pytest.fixture
def ten_ingresses(shared: Shared, echo: App) -> Iterator[Release]:
    release = shared.get(HOST_PORT)
    names = [f"host-{number}" for number in range(9)]
    objects = [ingress(name, (f"{name}.test", "/", "Prefix", "echo"), ingressClassName=CLASS) for name in names]
    apply(echo.cluster, echo.namespace, *objects)
    until(lambda: release.site.status("http://host-8.test/") == 200)
    yield release
    echo.kubectl("delete", "ingress", *names)


def test_idle_memory(local_cluster: LocalCluster, ten_ingresses: Release) -> None:
    (pod,) = ten_ingresses.pod_names()
    pids = local_cluster.container_pids(ten_ingresses.namespace, pod)
    # Until the workers of the last reload have gone.
    time.sleep(3)
    sizes = {pid: pss_mib(pid) for pid in pids if Path(f"/proc/{pid}").exists()}
    told = ", ".join(f"{Path(f'/proc/{pid}/comm').read_text().strip()} {size:.0f}" for pid, size in sizes.items())
    print(f"\nidle memory with 10 Ingresses: {sum(sizes.values()):.0f} MiB PSS ({told})")
    assert sum(sizes.values()) <= IDLE_MIB


def pss_mib(pid: int) -> float:
    """Proportional set size of a process, in MiB (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
