"""A minute of bytes that no decent client sends, against a running controller with the real nginx.

No worker ends; the control routes answer all the time, each question with its own answer; and a pod only ever sees
requests that nginx has made: with the id that nginx gives each, for a host that leads to this pod.

The seed is printed at the end; `HEADRACE_FUZZ_SEED` fires the same shots again.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from controller.tests.fuzz.conftest import Tally
from controller.tests.fuzz.scale import SECONDS
from controller.tests.fuzz.wire import Shot, shot
from controller.tests.live.backends import Backends
from controller.tests.live.headrace import Headrace, trusting_context
from controller.tests.live.objects import app, ingress, key_pair, tls_secret

THREADS = 6
QUIET = 0.1
"""Seconds without a byte after which a shot is over."""

OWNERS = {"open.test": "open", "other.test": "other", "control.test": "control"}


def test_nothing_breaks(tmp_path: Path, tally: Tally) -> None:
    seed = int(os.environ.get("HEADRACE_FUZZ_SEED") or time.time_ns() % 2**32)
    print(f"HEADRACE_FUZZ_SEED={seed}")
    (tmp_path / "manifests").mkdir()
    headrace = Headrace(tmp_path, tmp_path / "manifests", ("--reload-interval", "0"))
    with Backends() as backends:
        pods = {name: backends.start(name) for name in OWNERS.values()}
        pair = key_pair(*OWNERS)
        headrace.write(
            "objects.yaml",
            *(each for name, pod in pods.items() for each in app(name, pod)),
            *(
                ingress(name, (host, "/", "Prefix", name), annotations={"ssl-redirect": "false"},
                        tls=[{"hosts": [host], "secretName": "pair"}])
                for host, name in OWNERS.items()
            ),
            tls_secret("pair", pair),
        )  # fmt: skip
        with headrace:
            workers = workers_of(headrace)
            fired = fire(headrace, seed)
            assert probe(headrace, "end") == []
            assert workers_of(headrace) == workers
        for name, pod in pods.items():
            wrong = [seen for seen in pod.requests if not _made_by_nginx(name, seen)]
            assert not wrong, wrong[:3]
    log = headrace.log.read_text(errors="replace")
    assert not re.search(r"exited on signal|\[alert\]|\[emerg\]|Traceback", log), log[-3000:]
    for kind, number in fired.items():
        tally.count(f"shots at the data plane ({kind})", number)
    tally.count(f"is the seed of these shots, HEADRACE_FUZZ_SEED={seed}", 1)


def fire(headrace: Headrace, seed: int) -> Counter[str]:
    """Shots for the whole time, with probes between; how many of which kind."""
    fired: Counter[str] = Counter()
    end = time.monotonic() + SECONDS

    def one_after_the_other(first: int) -> None:
        number = first
        while time.monotonic() < end:
            made = shot(seed, number)
            with suppress(OSError):
                _send(headrace, made)
            fired[made.kind.partition("+")[0]] += 1
            if number // THREADS % 20 == 0:
                assert probe(headrace, str(number)) == [], f"after shot {number} of seed {seed}: {made}"
            number += THREADS

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(one_after_the_other, first) for first in range(THREADS)]:
            done.result()
    return fired


def probe(headrace: Headrace, mark: str) -> list[str]:
    """Control routes that do not answer as they should. Their pods are those that the shots are for, too."""
    wrong = []
    for host, name in OWNERS.items():
        for scheme in ("http", "https"):
            answer = headrace.get(f"{scheme}://{host}/probe/{mark}")
            seen = answer.json if answer.backend else {}
            if (answer.status, seen.get("backend"), seen.get("target")) != (200, name, f"/probe/{mark}"):
                wrong.append(f"{scheme}://{host}: {answer}")
    return wrong


def workers_of(headrace: Headrace) -> list[str]:
    """Process ids of nginx's workers."""
    master = (headrace.directory / "state" / "nginx.pid").read_text().strip()
    return sorted(Path(f"/proc/{master}/task/{master}/children").read_text().split())


def _send(headrace: Headrace, made: Shot) -> None:
    port = headrace.http if made.port == "http" else headrace.https
    with socket.create_connection(("127.0.0.1", port), timeout=2) as plain:
        connection: socket.socket | ssl.SSLSocket = plain
        if made.tls is not None:
            context = trusting_context()
            context.set_alpn_protocols(list(made.tls))
            connection = context.wrap_socket(plain, server_hostname="open.test")
        for piece in made.pieces:
            connection.sendall(piece)
        connection.settimeout(QUIET)
        with suppress(TimeoutError):
            while connection.recv(65_536):
                pass


def _made_by_nginx(pod: str, seen: dict[str, object]) -> bool:
    headers = seen["headers"]
    assert isinstance(headers, dict)
    host = str(headers.get("host", "")).partition(":")[0].lower().rstrip(".")
    owned = OWNERS.get(host) == pod
    return owned and bool(re.fullmatch(r"[0-9a-f]{32}", str(headers.get("x-request-id", ""))))


pytestmark = pytest.mark.nginx
