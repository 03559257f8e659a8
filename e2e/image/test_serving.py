"""The image as `docker compose` starts it, from manifests, hardened like a restricted pod."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from e2e.image.client import eventually, get, get_tls
from e2e.image.conftest import Served
from e2e.image.container import capabilities

USER = "101"
NET_BIND_SERVICE = 1 << 10


def test_a_host_is_served_from_its_backend(served: Served) -> None:
    answer = eventually(lambda: get(served.http, "plain.example.com", "/a?b=c"), 200)
    assert answer.body["pod"] == "backend"
    assert answer.body["target"] == "/a?b=c"
    assert answer.body["headers"]["host"] == "plain.example.com"


def test_tls_has_the_certificate_of_the_host(served: Served) -> None:
    answer = get_tls(served.https, "secure.example.com", served.manifests.authority)
    assert answer.status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        get_tls(served.https, "other.example.com", served.manifests.authority)


def test_a_changed_manifest_is_served_and_a_removed_one_is_not(served: Served) -> None:
    before = len(served.container.events("reconciled"))
    served.manifests.serve("new.example.com")
    assert eventually(lambda: get(served.http, "new.example.com"), 200).body["pod"] == "backend"
    served.manifests.withdraw("new.example.com")
    eventually(lambda: get(served.http, "new.example.com"), 404)
    reasons = [event["reload_reason"] for event in served.container.events("reconciled")[before:]]
    assert reasons
    assert all(reasons)


def test_health_and_readiness_answer(served: Served) -> None:
    assert get(served.health, "localhost", "/healthz").status == 200
    assert get(served.health, "localhost", "/readyz").status == 200


def test_the_start_tells_what_nginx_can_do(served: Served) -> None:
    (start,) = served.container.events("starting")
    assert start["nginx"] == "1.31.3"
    assert {"http2", "ipv6", "stream"} <= set(start["features"].split(","))
    assert not served.container.events("nginx has known holes")


def test_access_log_is_the_output_of_the_container(served: Served) -> None:
    get(served.http, "plain.example.com", "/seen-in-the-log")
    assert served.container.wrote("GET /seen-in-the-log")


def test_every_process_is_unprivileged(served: Served) -> None:
    processes = processes_of(served)
    assert len(processes) >= 3, "controller, master, worker"
    for process in processes:
        found = capabilities(process / "status")
        assert found["Uid"] == USER
        assert found["NoNewPrivs"] == "1"
        assert int(found["CapEff"], 16) == 0
        assert int(found["CapBnd"], 16) == NET_BIND_SERVICE


def processes_of(served: Served) -> list[Path]:
    """Folders below /proc of all processes in the container, by its number of processes namespace."""
    first = Path("/proc", str(served.container.state["Pid"]))
    namespace = (first / "ns/pid").readlink()
    everyone = [path for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [path for path in everyone if in_namespace(path, namespace)]


def in_namespace(process: Path, namespace: Path) -> bool:
    try:
        return (process / "ns/pid").readlink() == namespace
    except OSError:  # it has ended
        return False


def test_the_root_is_read_only(served: Served) -> None:
    said = served.container.python(
        "import errno, pathlib\n"
        "for path in ('/x', '/etc/x', '/opt/headrace/x', '/usr/x'):\n"
        "    try: pathlib.Path(path).touch()\n"
        "    except OSError as error: print(errno.errorcode[error.errno])\n"
    )
    assert said.split() == ["EROFS"] * 4


def test_a_killed_nginx_comes_back_and_leaves_no_zombie(served: Served) -> None:
    kill_the_master = (
        "import os, pathlib, signal\n"
        "os.kill(int(pathlib.Path('/var/lib/headrace/nginx.pid').read_text()), signal.SIGKILL)\n"
    )
    served.container.python(kill_the_master)
    eventually(lambda: get(served.http, "plain.example.com"), 200)
    assert served.container.events("nginx died")
    states = [(path / "stat").read_text().rpartition(")")[2].split()[0] for path in processes_of(served)]
    assert "Z" not in states
    assert get(served.health, "localhost", "/readyz").status == 200


def test_explain_works_inside(served: Served) -> None:
    said = served.container.docker.run(
        "exec", served.container.id, "headrace", "explain", "http://plain.example.com/", "--manifests", "/manifests"
    )
    assert "backend" in said
