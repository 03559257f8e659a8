"""The status port as probes, Prometheus and strangers see it."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from controller.model.diagnostics import Diagnostic, Effect, Report, Severity
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.observe import http
from controller.observe.compatibility import Identity
from controller.observe.http import Sources, StatusServer
from controller.observe.lag import sample_loop_lag
from controller.observe.metrics import Metrics

FINDING = Diagnostic(
    "path-taken",
    Severity.WARNING,
    ObjectKey(Kind.INGRESS, "a", "young"),
    FieldPath("spec.rules[0].http.paths[1].path"),
    "Ingress a/old already has it.",
    Effect.PATH_UNSERVED,
    related=(ObjectKey(Kind.INGRESS, "a", "old"),),
)


class Controller:
    """What the server asks."""

    def __init__(self) -> None:
        self.sick = ""
        self.waiting = "waiting for: Secret, Service"
        self.big = b""
        self.metrics = Metrics(Identity("1.0"))

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        return ("text/plain", self.big) if self.big else await self.metrics.scrape(accept)

    @property
    def sources(self) -> Sources:
        metrics = lambda accept: self.scrape(accept)  # noqa: E731  # tests may put another in its place
        return Sources(lambda: self.sick, lambda: self.waiting, metrics, lambda: Report((FINDING,)))


@pytest.fixture
def controller() -> Controller:
    return Controller()


@pytest_asyncio.fixture
async def server(controller: Controller) -> AsyncIterator[StatusServer]:
    server = StatusServer(controller.sources, host="127.0.0.1", port=0, health_path="/live")
    await server.start()
    yield server
    await server.stop()


async def send(server: StatusServer, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer; status 0 where the connection was just closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        raw = await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
    if not raw:
        return 0, {}, b""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split(" ")[1]), headers, body


async def get(server: StatusServer, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    return await send(server, "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode())


@pytest.mark.parametrize("path", ["/healthz", "/live", "/healthz?verbose"])
async def test_health(server: StatusServer, controller: Controller, path: str) -> None:
    assert (await get(server, path))[::2] == (200, b"ok\n")
    controller.sick = "shutting down"
    assert (await get(server, path))[::2] == (500, b"shutting down\n")


async def test_readiness_says_what_is_missing(server: StatusServer, controller: Controller) -> None:
    assert (await get(server, "/readyz"))[::2] == (503, b"waiting for: Secret, Service\n")
    controller.waiting = ""
    assert (await get(server, "/readyz"))[0] == 200


async def test_metrics_in_both_formats(server: StatusServer) -> None:
    status, headers, body = await get(server, "/metrics")
    assert (status, headers["content-type"][:25]) == (200, "text/plain; version=0.0.4")
    assert b'headrace_build_info{nginx="",version="1.0"} 1.0\n' in body
    assert int(headers["content-length"]) == len(body)
    _, headers, body = await get(server, "/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert body.count(b"# EOF") == 1


async def test_diagnostics(server: StatusServer) -> None:
    status, headers, body = await get(server, "/debug/diagnostics")
    assert (status, headers["content-type"]) == (200, "application/json")
    found = json.loads(body)
    assert found["by_code"] == {"path-taken": 1}
    assert found["diagnostics"][0]["object"] == {"kind": "Ingress", "namespace": "a", "name": "young"}


async def test_index_names_the_pages(server: StatusServer) -> None:
    _, _, body = await get(server, "/")
    for line in body.decode().splitlines()[2:]:
        assert (await get(server, line.split()[0]))[0] != 404


async def test_head_has_no_body(server: StatusServer) -> None:
    status, headers, body = await get(server, "/healthz", method="HEAD")
    assert (status, headers["content-length"], body) == (200, "3", b"")


async def test_what_is_not_there(server: StatusServer) -> None:
    assert (await get(server, "/secret"))[0] == 404
    status, headers, _ = await get(server, "/metrics", method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "data",
    [b"\r\n\r\n", b"GET /\r\n\r\n", b"\x16\x03\x01\x00\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n"],
)
async def test_garbage_is_400(server: StatusServer, data: bytes) -> None:
    assert (await send(server, data))[0] == 400


async def test_a_head_that_is_too_large(server: StatusServer) -> None:
    assert (await send(server, b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"))[0] == 431


async def test_a_body_is_not_read_and_does_not_harm(server: StatusServer) -> None:
    assert (await send(server, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789"))[0] == 405


async def test_slow_clients_are_cut_off(server: StatusServer) -> None:
    server.head_seconds = 0.1
    assert (await send(server, b"GET / HT"))[0] == 0


async def test_a_probe_finds_a_place_among_connections_that_do_nothing(server: StatusServer) -> None:
    """Whoever holds all connections loses its oldest ones; others lose none."""
    probe = await asyncio.open_connection("127.0.0.1", server.port)
    idle = [
        await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        for _ in range(2 * http.MAX_CONNECTIONS)
    ]
    await asyncio.sleep(0.05)
    assert server.connections == http.MAX_CONNECTIONS
    assert await asyncio.wait_for(idle[0][0].read(), 1) == b""
    assert (await get(server, "/healthz"))[0] == 200
    probe[1].write(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert b"200 OK" in await asyncio.wait_for(probe[0].read(), 1)
    for _, writer in [probe, *idle]:
        writer.close()


async def test_large_answers_that_nobody_reads_are_few(server: StatusServer, controller: Controller) -> None:
    """Each one takes memory for as long as its client likes."""
    controller.big = b"x" * 16_000_000
    slow = [
        await asyncio.open_connection("127.0.0.1", server.port, limit=1, local_addr=("127.0.0.2", 0)) for _ in range(12)
    ]
    for _, writer in slow:
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0.5)
    assert server.connections == http.MAX_LARGE
    assert len((await get(server, "/metrics"))[2]) == len(controller.big)
    for _, writer in slow:
        writer.close()


async def test_a_large_answer_reaches_a_slow_reader_whole(server: StatusServer, controller: Controller) -> None:
    controller.big = b"x" * 8_000_000
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(1.2)
    raw = await asyncio.wait_for(reader.read(), 5)
    assert raw.endswith(b"x" * 100)
    assert len(raw.partition(b"\r\n\r\n")[2]) == 8_000_000
    writer.close()


async def test_nothing_is_made_for_clients_that_lost_their_place(
    server: StatusServer, controller: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers that take long to make would else be made by the hundred at the same time, for nobody."""
    making: set[asyncio.Task[None] | None] = set()

    async def scrape(accept: str) -> tuple[str, bytes]:
        making.add(asyncio.current_task())
        try:
            await asyncio.sleep(60)
        finally:
            making.discard(asyncio.current_task())
        return "text/plain", b""

    controller.scrape = scrape  # type: ignore[method-assign]
    slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(12)]
    for _, writer in slow:
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0.3)
    assert len(making) == http.MAX_LARGE
    assert not caplog.records
    for _, writer in slow:
        writer.close()


async def test_what_a_client_did_not_wait_for_is_not_kept(server: StatusServer, controller: Controller) -> None:
    """The collector comes late in a controller: until then nothing of the size of an answer may be left."""
    controller.big = b"x" * 16_000_000
    held = sys.getrefcount(controller.big)
    gc.disable()
    try:
        for _ in range(20):
            await asyncio.to_thread(hang_up_early, server.port)
        await asyncio.sleep(0.3)
        kept = sys.getrefcount(controller.big) - held
    finally:
        gc.enable()
    assert kept == 0


def hang_up_early(port: int) -> None:
    """Reads the beginning of an answer and resets the connection."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        connection.recv(100)


async def test_a_client_that_never_reads_is_let_go(server: StatusServer, controller: Controller) -> None:
    controller.big, server.answer_seconds = b"x" * 16_000_000, 0.2
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.5)
    assert not server.connections
    writer.close()


async def test_stop_ends_open_connections(controller: Controller) -> None:
    server = StatusServer(controller.sources, host="127.0.0.1", port=0)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await asyncio.sleep(0.05)
    await server.stop()
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()


async def test_loop_lag_is_seen() -> None:
    import time

    seen: list[float] = []
    task = asyncio.create_task(sample_loop_lag(seen.append, 0.01))
    await asyncio.sleep(0.03)
    time.sleep(0.1)  # noqa: ASYNC251 - this is the stall that shall be seen
    await asyncio.sleep(0.03)
    task.cancel()
    assert max(seen) > 0.05
    assert min(seen) < 0.02
