"""How soon a changed route is served, and what happens where long-lived connections keep old workers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.handshakes import leaf_of
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, ingress, key_pair, tls_secret
from controller.tests.live.test_streaming import WebSocket

PATIENCE = 4.0


@pytest.fixture(scope="module")
def objects(backends: Backends) -> list[Object]:
    tls = [{"hosts": ["secure.test"], "secretName": "secure"}]
    return [
        ingress("app", ("app.test", "/", "Prefix", "app"), annotations={"ssl-redirect": "false"}),
        ingress("secure", ("secure.test", "/", "Prefix", "app"), tls=tls),
        tls_secret("secure", key_pair("secure.test")),
        *app("app", backends.start("app")),
    ]


@pytest.fixture(scope="module")
def patient(run: Run, objects: list[Object]) -> Iterator[Headrace]:
    yield run(*objects, flags=("--max-old-workers", "1", "--max-reload-delay", str(PATIENCE)))


def delayed(headrace: Headrace, cause: str) -> int:
    """Reloads that waited for this."""
    text = headrace.ask_health("/metrics").body.decode()
    found = re.search(rf'^headrace_reloads_delayed_total{{cause="{cause}"}} (\d+)', text, re.MULTILINE)
    assert found
    return int(found[1])


def route(headrace: Headrace, number: int, file: str = "new.yaml") -> None:
    headrace.write(file, ingress("new", (f"new{number}.test", "/", "Prefix", "app")))


def served(headrace: Headrace, number: int) -> bool:
    return headrace.get(f"http://new{number}.test/").status == 200


def test_changes_come_at_once_until_there_are_many(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects, flags=("--reload-interval", "30", "--reload-burst", "4"))
    for number in range(4):
        route(headrace, number)
        headrace.until(lambda n=number: served(headrace, n), 10)
        headrace.until(lambda n=number: headrace.metric("headrace_reloads_total") == n + 2, 10)
    assert delayed(headrace, "pace") == 0
    route(headrace, 4)
    time.sleep(1.0)
    assert served(headrace, 3) and not served(headrace, 4)


def test_a_reload_waits_for_connections_that_end_and_certificates_do_not_wait(
    patient: Headrace, objects: list[Object]
) -> None:
    held = WebSocket(patient)
    route(patient, 1)
    patient.until(lambda: served(patient, 1), 10)
    patient.until(lambda: patient.metric("headrace_old_workers") == 1, 10, "not counted")
    assert patient.metric("headrace_old_worker_memory_bytes") > 100_000
    assert patient.metric("headrace_old_worker_connections") == 1
    route(patient, 2)
    pair = key_pair("secure.test")
    patient.write("objects.yaml", *(tls_secret("secure", pair) if o["kind"] == "Secret" else o for o in objects))
    patient.until(lambda: patient.certificate("secure.test") == leaf_of(pair), PATIENCE, "certificate")
    assert not served(patient, 2), "nothing held it back"
    assert held.echo(b"still there")
    held.close()
    patient.until(lambda: served(patient, 2), 10)
    assert delayed(patient, "old-workers") == 1
    assert patient.metric("headrace_old_workers_ended_total") == 0
    patient.until(lambda: patient.metric("headrace_old_workers") == 0, 20)


def test_it_does_not_wait_for_ever_and_says_so(patient: Headrace) -> None:
    ended = patient.metric("headrace_old_workers_ended_total")
    held = WebSocket(patient)
    route(patient, 3)
    patient.until(lambda: served(patient, 3), 10)
    for number in (4, 5, 6):
        route(patient, number)
        time.sleep(0.3)
    took = patient.until(lambda: served(patient, 6), PATIENCE + 10)
    assert took > PATIENCE / 2
    with pytest.raises((OSError, AssertionError)):
        assert held.echo(b"gone")
    assert patient.metric("headrace_old_workers_ended_total") == ended + 1
    lines = [json.loads(line) for line in patient.log.read_text().splitlines() if line.startswith("{")]
    told = [line for line in lines if line.get("msg", line.get("message")) == "reload waits for old workers"]
    assert told[-1]["limit"] == "count" and told[-1]["workers"] == 1 and told[-1]["connections"] == 1
