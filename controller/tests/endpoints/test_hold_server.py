"""The hold socket as nginx sees it: a real unix socket, kind and unkind clients."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from controller.endpoints.hold import Changed, HoldLimits, HoldMachine, Reason
from controller.endpoints.hold_server import MAX_HEAD, HoldServer, parse_request, places_in
from controller.endpoints.table import PortKey

WEB = PortKey("default", "web", "http")


class Rig:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.machine = HoldMachine(HoldLimits(total=500, per_service=400))
        self.server = HoldServer(self.machine, str(path))

    def fresh(self) -> None:
        self.server.on(Changed(WEB, (("10.0.0.2", 8080),)))

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path))


@pytest_asyncio.fixture
async def rig(run_dir: Path) -> AsyncIterator[Rig]:
    made = Rig(run_dir / "hold.sock")
    await made.server.start()
    yield made
    await made.server.stop()


def request(
    round_: str = "0", status: str = "502", again: str = "@hr_again", version: str = "1.1", extra: str = ""
) -> bytes:
    return (
        f"GET /?upstream=http.web.default&round={round_}&status={status}&again={again}"
        f"&tried=10.0.0.1:80&waited=0.5, - : 0.3&deadline=1.6 HTTP/{version}\r\nHost: localhost\r\n{extra}\r\n"
    ).encode()


async def answer(reader: asyncio.StreamReader) -> str:
    """The place nginx is sent to, with the address; or the status line."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)).decode()
    lines = dict(line.partition(": ")[::2] for line in head.split("\r\n"))
    await reader.readexactly(int(lines["Content-Length"]))
    found = [lines[name] for name in ("X-Accel-Redirect", "X-Headrace-Address") if name in lines]
    return " ".join(found) or head.split("\r\n")[0]


FRESH = "@hr_again 10.0.0.2:8080"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request(), FRESH),
        (request(""), FRESH),
        (request(again="@hr_again_2"), "@hr_again_2 10.0.0.2:8080"),
        (request(again="@somewhere"), FRESH),
        (request("4"), "HTTP/1.1 502 Bad Gateway"),
        (request("4", status="504"), "HTTP/1.1 504 Gateway Timeout"),
        (request("three", version="1.0"), FRESH),
    ],
)
async def test_answers(rig: Rig, data: bytes, expected: str) -> None:
    rig.fresh()
    reader, writer = await rig.open()
    writer.write(data)
    assert await answer(reader) == expected
    writer.close()


async def test_an_address_of_ipv6_is_in_brackets(rig: Rig) -> None:
    rig.server.on(Changed(WEB, (("fd00::1", 80),)))
    reader, writer = await rig.open()
    writer.write(request())
    assert await answer(reader) == "@hr_again [fd00::1]:80"
    writer.close()


def test_what_nginx_tried() -> None:
    text = "10.0.0.1:80, [fd00:0::1]:80 : unix:/run/a:1 : default.web.80 : 10.0.0.2:8080, x"
    assert list(places_in(text)) == [("10.0.0.1", 80), ("fd00::1", 80), ("10.0.0.2", 8080)]


async def test_without_any_pod_it_gives_up_with_503(rig: Rig) -> None:
    rig.server.on(Changed(WEB, ()))
    reader, writer = await rig.open()
    writer.write(request())
    assert await answer(reader) == "HTTP/1.1 503 Service Unavailable"
    writer.close()


async def test_waits_for_fresh_content(rig: Rig) -> None:
    reader, writer = await rig.open()
    writer.write(request())
    await asyncio.sleep(0.05)
    assert rig.machine.counters.held_now == 1
    rig.fresh()
    assert await answer(reader) == FRESH
    assert rig.machine.counters.held_now == 0
    writer.close()


async def test_gives_up_at_the_deadline_with_the_failure_as_it_was(rig: Rig) -> None:
    reader, writer = await rig.open()
    writer.write(request(status="504"))
    assert await answer(reader) == "HTTP/1.1 504 Gateway Timeout"
    assert rig.machine.counters.ended[Reason.DEADLINE] == 1
    writer.close()


async def test_a_connection_serves_many_requests_also_when_they_come_at_once(rig: Rig) -> None:
    rig.fresh()
    reader, writer = await rig.open()
    writer.write(request("4") * 500)
    assert [await answer(reader) for _ in range(500)] == ["HTTP/1.1 502 Bad Gateway"] * 500
    writer.write(request() + request("4"))
    assert [await answer(reader), await answer(reader)] == [FRESH, "HTTP/1.1 502 Bad Gateway"]
    writer.close()


async def test_http_1_0_and_bodies_end_the_connection(rig: Rig) -> None:
    rig.fresh()
    for data in (
        request(version="1.0"),
        request(extra="Connection: close\r\n"),
        request(extra="Content-Length: 5\r\n"),
    ):
        reader, writer = await rig.open()
        writer.write(data + b"hello")
        assert await answer(reader) == FRESH
        assert await asyncio.wait_for(reader.read(), 1) == b""
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\0\xff\r\n\r\n",
        b"GET /hold HTTP/1.1\r\n\r\n",
        b"GET /?upstream=web.default HTTP/1.1\r\n\r\n",
        b"GET /?upstream=.. HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * MAX_HEAD,
    ],
)
async def test_garbage_is_refused_and_closed(rig: Rig, data: bytes) -> None:
    reader, writer = await rig.open()
    writer.write(data)
    assert (await answer(reader)).startswith("HTTP/1.1 400")
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()
    assert rig.machine.counters.asked == 0


async def test_a_client_that_leaves_frees_its_place(rig: Rig) -> None:
    _, writer = await rig.open()
    writer.write(request())
    await asyncio.sleep(0.05)
    writer.transport.abort()
    await asyncio.sleep(0.05)
    assert rig.machine.counters.held_now == 0 and rig.machine.counters.ended[Reason.LEFT] == 1


async def test_a_slow_client_still_gets_its_answer(rig: Rig) -> None:
    rig.fresh()
    reader, writer = await rig.open()
    for byte in request():
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert await answer(reader) == FRESH
    writer.close()


async def test_half_a_request_does_not_keep_its_place(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.endpoints.hold_server._HEAD_SECONDS", 0.1)
    reader, writer = await rig.open()
    writer.write(request()[:-2])
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()


async def test_hundreds_wait_and_go_together(rig: Rig) -> None:
    opened = [await rig.open() for _ in range(300)]
    for _, writer in opened:
        writer.write(request())
    await asyncio.sleep(0.1)
    rig.fresh()
    assert {await answer(reader) for reader, _ in opened} == {FRESH}
    for _, writer in opened:
        writer.close()


async def test_stopping_lets_everyone_go_with_the_failure(rig: Rig) -> None:
    reader, writer = await rig.open()
    writer.write(request())
    await asyncio.sleep(0.05)
    await rig.server.stop()
    assert await answer(reader) == "HTTP/1.1 502 Bad Gateway"
    assert not rig.path.exists()
    writer.close()


async def test_a_socket_left_behind_is_replaced_and_open_to_workers(rig: Rig) -> None:
    again = HoldServer(HoldMachine(), str(rig.path))
    await again.start()
    assert stat.S_IMODE(rig.path.stat().st_mode) == 0o666
    await again.stop()


@given(st.binary(max_size=300))
def test_no_head_raises(data: bytes) -> None:
    parse_request(data)
    parse_request(request()[:-4] + b"\r\n" + data)
