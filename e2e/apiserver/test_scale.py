"""Two thousand Ingresses, each with a host, a Service and a certificate of its own.

The times are printed and not judged: a busy machine is no fault. The benchmark judges them, beside bare nginx.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import ingress, key_pair, service, tls_secret
from e2e.apiserver.replica import CLASS, replica
from e2e.apiserver.test_main_job import answers, slice_for
from e2e.controlplane.backends import Backends
from e2e.controlplane.cluster import ControlPlane

COUNT = 2000
BATCH = 250


@pytest.fixture(scope="module")
def backends(network: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    with Backends(network, tmp_path_factory.mktemp("backends")) as started:  # type: ignore[arg-type]
        yield started


def memory_mib(pid: int) -> float:
    """Proportional set size of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Pss:")[1].split()[0]) / 1024


@pytest.fixture
def crowd(control_plane: ControlPlane, backends: Backends) -> Iterator[None]:
    control_plane.kubectl("create", "namespace", "scale")
    pod = backends.start("pod")
    pairs = [key_pair(f"*.p{number}.test") for number in range(20)]
    for start in range(0, COUNT, BATCH):
        objects = []
        for number in range(start, start + BATCH):
            name, host = f"s{number}", f"h{number}.p{number % 20}.test"
            tls = [{"hosts": [host], "secretName": name}]
            objects += [
                ingress(name, (host, "/", "Prefix", name), namespace="scale", ingressClassName=CLASS, tls=tls),
                service(name, "scale"),
                slice_for(name, "scale", pod),
                tls_secret(name, pairs[number % 20], "scale"),
            ]
        control_plane.kubectl("create", "-f", "-", input=_json(objects))
    yield
    # Now: tests to come start sources, which would look for the Secrets of every Ingress that is still there.
    control_plane.kubectl("delete", "--raw", "/apis/networking.k8s.io/v1/namespaces/scale/ingresses")
    control_plane.kubectl("delete", "namespace", "scale", "--wait=false")


@pytest.mark.usefixtures("crowd")
def test_two_thousand_hosts(control_plane: ControlPlane, tmp_path: Path) -> None:
    headrace = replica(control_plane, tmp_path / "replica")
    begun = time.monotonic()
    with headrace:
        asked = range(0, COUNT, 97)
        headrace.until(lambda: all(_served(headrace, number) for number in asked), 30)
        started = time.monotonic() - begun
        control_plane.apply(
            ingress("one-more", ("one-more.test", "/", "Prefix", "s1"), namespace="scale", ingressClassName=CLASS)
        )
        one_more = headrace.until(lambda: answers(headrace, "http://one-more.test/") == "pod", 10)
        assert headrace.process is not None
        memory = memory_mib(headrace.process.pid)
        print(
            f"{COUNT} hosts: served {started:.1f} s after start; one more {one_more:.2f} s; controller {memory:.0f} MiB"
        )
        assert memory <= 200


def _served(headrace: Headrace, number: int) -> bool:
    return answers(headrace, f"https://h{number}.p{number % 20}.test/") == "pod"


def _json(objects: list[dict[str, object]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
