"""The data plane with the real nginx: what is asked for is served, and nothing that happens to it stops that."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from controller.dataplane.driver import DataPlane
from controller.dataplane.machine import QUICK_AT_MOST
from controller.dataplane.probe import ask_generation, probe
from controller.dataplane.process import NginxProcess
from controller.dataplane.procfs import process
from controller.dataplane.result import Outcome, Stand
from controller.dataplane.turn import Cause, ReloadLimits
from controller.model.errors import NginxRefused
from controller.model.fragments import Fragment, FragmentSet
from controller.model.layout import Layout
from controller.tests.dataplane.conftest import (
    fragments_for,
    get,
    host,
    ingress,
    listing,
    new_plane,
    serves,
    session_members,
    until,
)

pytestmark = pytest.mark.nginx


def hosts(layout: Layout, *names: str, text: str = "one", body: str = "") -> tuple[Fragment, ...]:
    return tuple(host(name, text, layout.http_port, body) for name in names)


async def test_serves_what_was_applied_and_then_what_changed(plane: DataPlane, layout: Layout) -> None:
    assert not await plane.start_last_good()
    first = await plane.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    assert (first.outcome, first.generation, first.reload_reason) == (Outcome.APPLIED, 1, "first")
    assert await get(layout.http_port, "a") == (200, "one")
    pid = plane.pid

    second = await plane.apply(fragments_for(layout, *hosts(layout, "a", text="two")), "edit")
    assert (second.outcome, second.generation) == (Outcome.APPLIED, 2)
    assert {await get(layout.http_port, "a") for _ in range(20)} == {(200, "two")}
    assert plane.pid == pid
    assert set(second.timings) >= {"write", "test", "switch", "reload", "probe", "keep"}


async def test_the_same_again_does_not_touch_nginx(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    wanted = fragments_for(layout, *hosts(layout, "a"))
    await plane.apply(wanted, "first")
    again = await plane.apply(wanted, "again")
    assert (again.outcome, again.generation, again.reload_reason) == (Outcome.UNCHANGED, 1, "")
    assert await ask_generation(layout.probe_socket) == 1


async def test_a_bad_fragment_keeps_its_last_good_text_and_the_others_move_on(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    await plane.apply(fragments_for(layout, *hosts(layout, "a", "b")), "first")
    bad = host("a", "two", layout.http_port, body="location ~ ( { }")
    result = await plane.apply(fragments_for(layout, bad, *hosts(layout, "b", "c", text="two")), "edit")
    assert result.outcome == Outcome.DEGRADED
    (found,) = result.quarantined
    assert (found.path, found.origins, found.served) == ("servers/a.conf", (ingress("a"),), Stand.LAST_GOOD)
    assert "missing )" in found.message
    assert "servers" not in found.message
    assert [(await get(layout.http_port, n))[1] for n in "abc"] == ["one", "two", "two"]


async def test_a_new_bad_host_answers_503_until_it_is_mended(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    bad = host("a", "one", layout.http_port, body="nonsense on;")
    result = await plane.apply(fragments_for(layout, bad, *hosts(layout, "b")), "first")
    assert [q.served for q in result.quarantined] == [Stand.STUB]
    assert (await get(layout.http_port, "a"))[0] == 503
    assert await get(layout.http_port, "b") == (200, "one")
    mended = await plane.apply(fragments_for(layout, *hosts(layout, "a", "b")), "mended")
    assert mended.outcome == Outcome.APPLIED
    assert await get(layout.http_port, "a") == (200, "one")


async def test_one_bad_host_among_many_new_ones(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    many = hosts(layout, *(f"h{number}" for number in range(QUICK_AT_MOST)))
    bad = host("a", "one", layout.http_port, body="nonsense on;")
    result = await plane.apply(fragments_for(layout, bad, *many, http="server_names_hash_max_size 4096;"), "first")
    assert [(q.path, q.served) for q in result.quarantined] == [("servers/a.conf", Stand.STUB)]
    assert (await get(layout.http_port, "a"))[0] == 503
    assert await get(layout.http_port, "h999") == (200, "one")
    again = await plane.apply(fragments_for(layout, *many, http="server_names_hash_max_size 4096;"), "gone")
    assert (again.outcome, again.generation) == (Outcome.APPLIED, result.generation + 1)


async def test_a_certificate_is_laid_at_the_door_of_those_that_name_it(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    await plane.write_certificates({"bad.pem": b"not a certificate"})
    names = f"{layout.certificates_dir}/bad.pem"
    bad = host("a", "one", layout.http_port, body=f"ssl_certificate {names}; ssl_certificate_key {names};")
    bad = Fragment(bad.path, bad.text.replace(";", " ssl;", 1), bad.origins, bad.stub)
    other = host("b", "one", layout.http_port)
    result = await plane.apply(fragments_for(layout, bad, other), "first")
    assert [q.path for q in result.quarantined] == ["servers/a.conf"]
    assert names in result.quarantined[0].message
    assert await get(layout.http_port, "b") == (200, "one")


async def test_an_error_that_names_nothing_is_found_by_bisection(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    good = hosts(layout, *(f"h{n}" for n in range(8)))
    assert (await plane.apply(fragments_for(layout, *good), "first")).outcome == Outcome.APPLIED
    long = host("h5", "two", layout.http_port, body=f"server_name {'x' * 90}.example;")
    new = [*hosts(layout, *(f"h{n}" for n in range(8) if n != 5), text="two"), long]
    result = await plane.apply(fragments_for(layout, *new), "edit")
    assert [(q.path, q.served) for q in result.quarantined] == [("servers/h5.conf", Stand.LAST_GOOD)]
    assert "server_names_hash" in result.quarantined[0].message
    assert [(await get(layout.http_port, f"h{n}"))[1] for n in range(8)] == ["two"] * 5 + ["one"] + ["two"] * 2


async def test_our_own_bad_text_leaves_everything_as_it_was(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    await plane.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    result = await plane.apply(fragments_for(layout, *hosts(layout, "a", text="two"), http="nonsense;"), "edit")
    assert (result.outcome, result.generation) == (Outcome.REFUSED, 1)
    assert 'unknown directive "nonsense" in nginx.conf:' in result.message
    assert await get(layout.http_port, "a") == (200, "one")


async def test_a_reload_that_fails_goes_back_to_the_last_good_generation(layout: Layout) -> None:
    """An address in use passes `nginx -t`, and after the HUP nginx stays silent: what its processes do tells.

    nginx itself tries for 2.5 s to bind before it gives the new configuration up.
    """
    plane = new_plane(layout, probe_seconds=60)
    try:
        await plane.start_last_good()
        await plane.apply(fragments_for(layout, *hosts(layout, "a")), "first")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            wanted = fragments_for(layout, *hosts(layout, "a", text="two"), host("b", "two", port))
            async with asyncio.timeout(20):
                result = await plane.apply(wanted, "edit")
            assert (result.outcome, result.generation) == (Outcome.REFUSED, 1)
            assert "nginx refused generation 2" in result.message
            assert os.readlink(layout.current).endswith("/1")  # noqa: PTH115
            assert await get(layout.http_port, "a") == (200, "one")
        assert (await plane.apply(wanted, "again")).outcome == Outcome.APPLIED
        assert await get(port, "b") == (200, "two")
    finally:
        await plane.stop(0.5)


async def test_a_port_in_use_at_the_start_is_named(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    with (
        socket.create_server(("127.0.0.1", layout.http_port)),
        pytest.raises(NginxRefused, match=rf"127\.0\.0\.1:{layout.http_port} .*another process listens there"),
    ):
        await plane.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    assert (await plane.apply(fragments_for(layout, *hosts(layout, "a")), "again")).outcome == Outcome.APPLIED


async def test_a_killed_master_is_replaced_within_two_seconds(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    await plane.apply(fragments_for(layout, *hosts(layout, "a"), main="worker_processes 2;"), "first")
    killed = plane.pid
    workers = [pid for pid in session_members(killed) if pid != killed]
    os.kill(killed, signal.SIGKILL)
    await until(lambda: plane.pid not in (0, killed))
    await serves(layout.http_port, "a", within=2.0)
    assert plane.restarts == 1
    assert not set(workers) & set(session_members(killed))
    again = await plane.apply(fragments_for(layout, *hosts(layout, "a", text="two")), "edit")
    assert again.outcome == Outcome.APPLIED


async def test_a_request_in_flight_survives_the_death_of_the_master(plane: DataPlane, layout: Layout) -> None:
    slow = await slow_backend(0.5)
    body = f"location /slow {{ proxy_pass http://127.0.0.1:{slow}; }}"
    await plane.start_last_good()
    await plane.apply(fragments_for(layout, *hosts(layout, "a", body=body)), "first")
    pending = asyncio.create_task(get(layout.http_port, "a", "/slow"))
    await asyncio.sleep(0.1)
    os.kill(plane.pid, signal.SIGKILL)
    assert await pending == (200, "slow")


async def test_a_crashed_controller_finds_its_nginx_again(layout: Layout) -> None:
    """Traffic never stops, and the adopted master takes reloads, dies and is replaced like any other."""
    before = new_plane(layout)
    await before.start_last_good()
    wanted = fragments_for(layout, *hosts(layout, "a"))
    await before.apply(wanted, "first")
    pid = before.pid
    before.detach()
    assert os.getsid(pid) == pid

    after = new_plane(layout)
    try:
        assert await after.start_last_good()
        assert after.pid == pid
        assert (await after.apply(wanted, "sync")).outcome == Outcome.UNCHANGED
        edited = await after.apply(fragments_for(layout, *hosts(layout, "a", text="two")), "edit")
        assert (edited.outcome, edited.generation) == (Outcome.APPLIED, 2)
        assert await get(layout.http_port, "a") == (200, "two")
        assert after.pid == pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: after.pid not in (0, pid))
        await serves(layout.http_port, "a")
    finally:
        await after.stop(0.5)


@pytest.mark.parametrize("workers_left", [True, False])
async def test_both_killed_the_next_controller_serves_the_last_good_generation(
    layout: Layout, workers_left: bool
) -> None:
    before = new_plane(layout)
    await before.start_last_good()
    await before.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    pid = before.pid
    members = session_members(pid)
    before.detach()
    for member in members if not workers_left else [pid]:
        os.kill(member, signal.SIGKILL)
    after = new_plane(layout)
    try:
        assert await after.start_last_good()
        assert after.pid not in (0, pid)
        assert await get(layout.http_port, "a") == (200, "one")
    finally:
        await after.stop(0.5)


async def test_a_master_is_found_without_its_pid_file(layout: Layout) -> None:
    before = new_plane(layout)
    await before.start_last_good()
    await before.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    pid = before.pid
    before.detach()
    os.truncate(layout.pid_file, 0)
    after = new_plane(layout)
    try:
        assert await after.start_last_good()
        assert after.pid == pid
    finally:
        await after.stop(0.5)


async def test_a_master_of_another_binary_is_replaced_and_its_requests_finish(layout: Layout, root: Path) -> None:
    slow = await slow_backend(0.5)
    old_binary = shutil.copy(layout.nginx.path, root / "nginx")
    before = new_plane(replace(layout, nginx=replace(layout.nginx, path=str(old_binary))))
    await before.start_last_good()
    body = f"location /slow {{ proxy_pass http://127.0.0.1:{slow}; }}"
    await before.apply(fragments_for(layout, *hosts(layout, "a", body=body)), "first")
    pending = asyncio.create_task(get(layout.http_port, "a", "/slow"))
    await asyncio.sleep(0.1)
    old = before.pid
    before.detach()
    after = new_plane(layout)
    try:
        assert await after.start_last_good()
        assert after.pid != old
        assert not pending.done()
        assert await get(layout.http_port, "a") == (200, "one")
        assert await pending == (200, "slow")
    finally:
        await after.stop(0.5)


async def test_a_master_that_cannot_start_is_tried_again_until_it_can(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    await plane.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    rename(layout.current, f"{layout.current}.away")
    os.kill(plane.pid, signal.SIGKILL)
    await until(lambda: plane.restarts >= 2)
    rename(f"{layout.current}.away", layout.current)
    await serves(layout.http_port, "a", within=4.0)


async def test_an_apply_mends_a_master_that_cannot_start(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    await plane.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    rename(layout.current, f"{layout.current}.away")
    os.kill(plane.pid, signal.SIGKILL)
    await until(lambda: plane.restarts >= 2)
    result = await plane.apply(fragments_for(layout, *hosts(layout, "a", text="two")), "edit")
    assert result.outcome == Outcome.APPLIED
    assert await get(layout.http_port, "a") == (200, "two")
    assert len(session_members(plane.pid)) == 2


async def test_asking_a_master_that_would_start_what_ails_it_comes_to_an_end(layout: Layout) -> None:
    """Its workers outlive it, and must not keep anyone waiting."""
    before = new_plane(layout)
    await before.start_last_good()
    await before.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    await before.stop(0.5)
    process = NginxProcess(layout)
    async with asyncio.timeout(5.0):
        assert "no error" in await process.explain()
    with pytest.raises(OSError):
        await get(layout.http_port, "a")


async def test_an_adopted_master_that_does_not_answer_is_replaced(layout: Layout) -> None:
    before = new_plane(layout)
    await before.start_last_good()
    await before.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    stuck = before.pid
    before.detach()
    for pid in session_members(stuck):
        os.kill(pid, signal.SIGSTOP)
    after = new_plane(layout, probe_seconds=0.3)
    try:
        assert await after.start_last_good()
        assert after.pid != stuck
        assert await get(layout.http_port, "a") == (200, "one")
    finally:
        await after.stop(0.5)


async def test_a_crash_after_the_switch_takes_no_route_away(layout: Layout) -> None:
    before = new_plane(layout)
    await before.start_last_good()
    await before.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    before._store.write(2, fragments_for(layout, *hosts(layout, "a", text="two")))
    before._store.publish(2)
    os.kill(before.pid, signal.SIGHUP)
    await probe(layout.probe_socket, 2)
    before.detach()
    after = new_plane(layout)
    try:
        assert await after.start_last_good()
        assert await get(layout.http_port, "a") == (200, "two"), "it answers, and what is wanted now is built next"
        assert (await after.apply(fragments_for(layout, *hosts(layout, "a", text="3")), "edit")).generation == 3
        assert await get(layout.http_port, "a") == (200, "3")
    finally:
        await after.stop(0.5)


async def test_stopping_lets_a_request_in_flight_finish(layout: Layout) -> None:
    slow = await slow_backend(0.6)
    plane = new_plane(layout)
    await plane.start_last_good()
    body = f"location /slow {{ proxy_pass http://127.0.0.1:{slow}; }}"
    await plane.apply(fragments_for(layout, *hosts(layout, "a", body=body)), "first")
    pending = asyncio.create_task(get(layout.http_port, "a", "/slow"))
    await asyncio.sleep(0.1)
    pid = plane.pid
    await plane.stop(5.0)
    assert pending.done()
    assert await pending == (200, "slow")
    assert process(pid) is None
    with pytest.raises(OSError):
        await get(layout.http_port, "a")


async def test_stopping_ends_at_the_deadline(layout: Layout) -> None:
    slow = await slow_backend(30.0)
    plane = new_plane(layout)
    await plane.start_last_good()
    body = f"location /slow {{ proxy_pass http://127.0.0.1:{slow}; }}"
    await plane.apply(fragments_for(layout, *hosts(layout, "a", body=body)), "first")
    pending = asyncio.create_task(get(layout.http_port, "a", "/slow"))
    await asyncio.sleep(0.1)
    pid = plane.pid
    assert session_members(pid)
    async with asyncio.timeout(2.0):
        await plane.stop(0.3)
    pending.cancel()
    assert not session_members(pid)


async def test_reloads_under_load_lose_nothing(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    await plane.apply(fragments_for(layout, *hosts(layout, "a", text="0")), "first")
    answers: list[tuple[int, str]] = []
    running = True

    async def client() -> None:
        while running:
            answers.append(await get(layout.http_port, "a"))

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for n in range(1, 6):
        result = await plane.apply(fragments_for(layout, *hosts(layout, "a", text=str(n))), "edit")
        assert result.outcome == Outcome.APPLIED
    running = False
    await asyncio.gather(*clients)
    assert {status for status, _ in answers} == {200}
    assert {text for _, text in answers} == {str(n) for n in range(6)}


async def test_reloads_keep_their_distance_but_the_first_does_not_wait(layout: Layout) -> None:
    plane = new_plane(layout, ReloadLimits(interval=1.5, burst=2))
    never = asyncio.Event()
    waits = []
    try:
        await plane.start_last_good()
        for text in ("one", "two", "three", "four"):
            wanted = fragments_for(layout, *hosts(layout, "a", text=text))
            assert await plane.may_apply(wanted, never)
            waits.append((await plane.apply(wanted, "edit")).timings.get("wait", 0.0))
        assert [seconds > 0.5 for seconds in waits] == [False, False, False, True], waits
        assert plane.turn.delayed == {Cause.PACE: 1}
    finally:
        await plane.stop(0.5)


async def test_certificates_go_when_nothing_needs_them(plane: DataPlane, layout: Layout) -> None:
    await plane.start_last_good()
    assert await plane.write_certificates({"a.pem": b"1", "b.pem": b"2"}) == ("a.pem", "b.pem")
    await plane.apply(fragments_for(layout, *hosts(layout, "a")), "first")
    assert await plane.write_certificates({"a.pem": b"1"}) == ()
    refused = await plane.apply(fragments_for(layout, *hosts(layout, "a"), http="nonsense;"), "edit")
    assert refused.outcome == Outcome.REFUSED
    assert listing(layout.certificates_dir) == ["a.pem", "b.pem"]
    await plane.apply(fragments_for(layout, *hosts(layout, "a", text="two")), "edit")
    assert listing(layout.certificates_dir) == ["a.pem"]


async def test_reopened_logs_are_new_files(plane: DataPlane, layout: Layout, root: Path) -> None:
    await plane.start_last_good()
    assert not plane.reopen_logs()
    log = root / "requests.log"
    wanted: FragmentSet = fragments_for(layout, *hosts(layout, "a", body=f"access_log {log};"))
    await plane.apply(wanted, "first")
    await get(layout.http_port, "a")
    log.rename(root / "old.log")
    assert plane.reopen_logs()
    await until(log.exists)
    await asyncio.sleep(0.05)
    await get(layout.http_port, "a")
    assert log.read_text().count("\n") == 1


def rename(source: str, target: str) -> None:
    Path(source).rename(target)


async def slow_backend(seconds: float) -> int:
    """A server that takes its time and answers `slow`. Lives as long as the test's loop."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(seconds)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    return port
