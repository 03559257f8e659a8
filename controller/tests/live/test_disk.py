"""Disks that take nothing, and state that is not as it was left: defects that the torture suite has found."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.load import Load
from controller.tests.live.objects import app, ingress, key_pair, service, slice_of, tls_secret

SECONDS = 10.0
"""Within which what could not be written is served once it can be."""


@pytest.fixture(scope="module")
def pods(backends: Backends) -> list[Backend]:
    return [backends.start("one"), backends.start("two")]


@pytest.fixture(scope="module")
def headrace(run: Run, pods: list[Backend]) -> Headrace:
    tls = [{"hosts": ["app.test"], "secretName": "pair"}]
    running = run(ingress("app", ("app.test", "/", "Prefix", "app"), tls=tls, annotations={"ssl-redirect": "false"}))
    running.write("pair.yaml", tls_secret("pair", key_pair("app.test")))
    running.write("service.yaml", service("app"))
    running.write("slices.yaml", slice_of("app", pods[0]))
    running.until(lambda: running.get("http://app.test/").backend == "one")
    running.until(lambda: names_of(running) == ["app.test"])
    return running


@contextmanager
def taking_nothing(headrace: Headrace) -> Iterator[None]:
    """No file of the controller may grow, its log included (RLIMIT_FSIZE, setrlimit(2)): to it the disk is full."""
    assert headrace.process
    pid = headrace.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def names_of(headrace: Headrace) -> list[str]:
    """Names in the certificate for app.test."""
    leaf = x509.load_der_x509_certificate(headrace.certificate("app.test"))
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def lives(headrace: Headrace) -> bool:
    assert headrace.process
    return headrace.process.poll() is None and headrace.ask_health("/readyz").status == 200


def test_a_full_disk_does_not_end_the_controller(headrace: Headrace, pods: list[Backend]) -> None:
    """It did: the endpoint table could not be saved, and in a pod nginx ends with the controller."""
    with Load(headrace.http, "app.test", clients=2) as load:
        with taking_nothing(headrace):
            headrace.write("more.yaml", ingress("more", ("more.test", "/", "Prefix", "app")))
            headrace.write("slices.yaml", slice_of("app", pods[1]))
            headrace.until(lambda: headrace.get("http://app.test/").backend == "two")
            time.sleep(2)
            assert lives(headrace) and headrace.get("http://more.test/").status == 404
        headrace.until(lambda: headrace.get("http://more.test/").backend == "two", SECONDS)
    assert not load.tally.failures
    headrace.write("slices.yaml", slice_of("app", pods[0]))
    headrace.until(lambda: headrace.get("http://app.test/").backend == "one")


def test_a_certificate_that_could_not_be_written_is_written_later(headrace: Headrace) -> None:
    """It was not: its digest was noted before it was written."""
    pair = key_pair("app.test", "new.test")
    before = names_of(headrace)
    with taking_nothing(headrace):
        headrace.write("pair.yaml", tls_secret("pair", pair))
        time.sleep(1.5)
        assert lives(headrace) and names_of(headrace) == before
    leaf = x509.load_pem_x509_certificate(pair[0]).public_bytes(Encoding.DER)
    headrace.until(lambda: headrace.certificate("app.test") == leaf, SECONDS)


def test_a_restart_that_changes_nothing_needs_no_disk(headrace: Headrace) -> None:
    """No new generation, no certificate but the self-signed one, and no reload."""
    before = marks(headrace)
    headrace.stop(kill=True)
    headrace.start()
    assert marks(headrace) == before
    assert headrace.metric("headrace_reloads_total") == 0


def marks(headrace: Headrace) -> dict[str, int]:
    """When each file was written."""
    files = (path for path in headrace.state.rglob("*") if path.is_file() and path.parent.name != "run")
    others = ("access.log", "nginx.pid", "default.pem", "endpoints.json")
    return {str(path): path.stat().st_mtime_ns for path in files if path.name not in others}


def test_an_altered_endpoint_table_is_not_believed(headrace: Headrace, pods: list[Backend]) -> None:
    """One bit of it is another address. nginx starts before anything is read, and would send requests there."""
    table = headrace.state / "endpoints.json"
    headrace.until(lambda: table.exists() and str(pods[0].port) in table.read_text())
    fall(headrace)
    table.write_bytes(table.read_bytes().replace(str(pods[0].port).encode(), str(pods[1].port).encode()))
    headrace.start()
    headrace.until(lambda: headrace.get("http://app.test/").backend == "one")
    assert "saved endpoints not usable" in headrace.log.read_text()


def fall(headrace: Headrace) -> None:
    """The controller and nginx are gone at once, as when the machine loses power."""
    pid = int((headrace.state / "nginx.pid").read_text())
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    headrace.stop(kill=True)
    for one in (pid, *map(int, children)):
        os.kill(one, signal.SIGKILL)


@pytest.mark.parametrize("name", ["last-good", "ports.json", "endpoints.json", "certificates/default.pem", "nginx.pid"])
def test_a_directory_in_place_of_a_file(headrace: Headrace, name: str) -> None:
    fall(headrace)
    path = headrace.state / name
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "something").touch()
    since = headrace.log.stat().st_size
    headrace.start()
    headrace.until(lambda: headrace.get("https://app.test/").backend == "one")
    assert f'state of the wrong kind removed","file":"{name}"' in headrace.log.read_text()[since:]


@pytest.mark.parametrize("name", ["generations", "certificates", "run", "temp", "current"])
def test_a_file_in_place_of_a_directory(headrace: Headrace, name: str) -> None:
    fall(headrace)
    path = headrace.state / name
    path.unlink() if path.is_symlink() else shutil.rmtree(path)
    path.write_text("something")
    since = headrace.log.stat().st_size
    headrace.start()
    headrace.until(lambda: headrace.get("https://app.test/").backend == "one")
    assert f'state of the wrong kind removed","file":"{name}"' in headrace.log.read_text()[since:]


@pytest.mark.parametrize("name", ["nginx.conf", "generation.conf", "servers/app.test.conf"])
def test_an_altered_generation_is_not_served_and_that_is_said(headrace: Headrace, name: str) -> None:
    """The file with the generation's number was not part of the digest: a start then waited for the probe in vain."""
    fall(headrace)
    path = headrace.state / "current" / name
    text = path.read_text()
    path.write_text(re.sub('"[0-9]+"', '"777"', text) if name == "generation.conf" else text[: len(text) // 2])
    since = headrace.log.stat().st_size
    headrace.start()
    headrace.until(lambda: headrace.get("http://app.test/").backend == "one")
    said = headrace.log.read_text()[since:]
    assert "last good generation not usable" in said and "did not answer" not in said


def test_a_crash_before_the_endpoints_were_saved_loses_no_request(headrace: Headrace, pods: list[Backend]) -> None:
    """Whoever is missing in the table was taken for gone: 503 from the start until everything had been read."""
    headrace.write("many.yaml", *(service(f"many{number}") for number in range(8000)))  # more than a second to read
    with Load(headrace.http, "app.test", clients=2) as load:
        headrace.stop(kill=True)
        (headrace.state / "endpoints.json").unlink(missing_ok=True)
        headrace.start()
    assert not load.tally.failures
    (headrace.manifests / "many.yaml").unlink()


def test_a_crash_before_the_record_takes_no_route_away(headrace: Headrace, pods: list[Backend]) -> None:
    """What answers is newer than what was recorded as the last good one: it stays until the next build."""
    recorded = (headrace.state / "last-good").read_text()
    headrace.write("new.yaml", ingress("new", ("new.test", "/", "Prefix", "app")), *app("other", pods[0]))
    headrace.until(lambda: headrace.get("http://new.test/").status == 200)
    headrace.until(lambda: (headrace.state / "last-good").read_text() != recorded)
    headrace.stop(kill=True)
    (headrace.state / "last-good").write_text(recorded)
    with Load(headrace.http, "new.test", clients=2) as load:
        headrace.start()
        time.sleep(0.5)
    assert not load.tally.failures
