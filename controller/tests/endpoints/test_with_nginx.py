"""Endpoints end to end: what a client of a real nginx sees when pods come, go and move. Nothing here reloads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from controller.endpoints.hold import Reason
from controller.endpoints.service import EndpointService
from controller.endpoints.table import Address
from controller.model.refs import Kind, ObjectKey
from controller.tests.endpoints.backends import Answer, Pod, fetch, spread, until_only
from controller.tests.endpoints.conftest import StartNginx
from controller.tests.ports import free_port

pytestmark = pytest.mark.nginx

WEB = ObjectKey(Kind.SERVICE, "default", "web")
EMPTY = Answer(503, "nothing here")

HTTP = """
upstream default.web.http {{ zone peers 1m; server web.default.svc service={port} resolve max_fails=0; }}
server {{ listen 127.0.0.1:{sentinel}; return 503 "nothing here"; }}
map $upstream_bytes_sent $received {{ volatile; default 1; "~(?:^|[ ,:])[0-]$" 0; }}
map $upstream_addr $round {{
    volatile; default 0; "~(?:unix:.*){{4}}" 4; "~(?:unix:.*){{3}}" 3; "~unix:.*unix:" 2; "~unix:" 1;
}}
map "$received$round" $final {{ volatile; default 1; "~^0[0-3]$" 0; }}
server {{
    listen 127.0.0.1:%PORT%;
    recursive_error_pages on;
    location / {{ proxy_pass http://default.web.http; proxy_connect_timeout 1s; }}
    location /held {{
        proxy_pass http://default.web.http;
        proxy_set_header X-Own own; proxy_connect_timeout 1s;
        error_page 502 504 = @hold;
    }}
    location @hold {{
        if ($final) {{ return 502 gone; }}
        proxy_pass "http://unix:{hold}:/?upstream={port}.web.default&round=$round&status=$status&tried=$upstream_addr&waited=$upstream_response_time";
        proxy_method GET; proxy_pass_request_body off; proxy_pass_request_headers off;
    }}
    location @hr_again {{
        set $address $upstream_http_x_headrace_address;
        proxy_pass http://$address;
        proxy_set_header X-Own own; proxy_connect_timeout 1s;
        error_page 502 504 = @hold;
    }}
}}
"""


@pytest_asyncio.fixture
async def endpoints(run_dir: Path) -> AsyncIterator[EndpointService]:
    service = EndpointService(hold_socket=str(run_dir / "hold.sock"), sentinel_port=free_port(), loopback=True)
    await service.start()
    service.all_known()
    yield service
    await service.stop()


def http_for(endpoints: EndpointService, run_dir: Path, port: str = "http") -> str:
    return HTTP.format(port=port, sentinel=endpoints._zone._sentinel[0][1], hold=run_dir / "hold.sock")


def at(*pods: Pod) -> tuple[Address, ...]:
    return tuple(Address(pod.host, pod.port) for pod in pods)


async def test_pods_come_go_and_move_without_a_reload(
    endpoints: EndpointService, start_nginx: StartNginx, run_dir: Path
) -> None:
    one, two, six = await asyncio.gather(Pod("one").start(), Pod("two").start(), Pod("six", "::1").start())
    nginx, port = await start_nginx(endpoints.addresses, http_for(endpoints, run_dir))
    await until_only(port, {EMPTY})  # the Service is not even known
    steps = [at(one), at(two, one), at(one, six), (), at(two)]
    for step in steps:
        endpoints.publish(WEB, {"http": step})
        texts = {pod.text for pod in (one, two, six) if (pod.host, pod.port) in {place[:2] for place in step}}
        took = await until_only(port, {Answer(200, text) for text in texts} or {EMPTY})
        assert took < 1.5
    endpoints.remove(WEB)
    await until_only(port, {EMPTY})
    assert nginx.log.count("start worker process ") == 2
    assert "could not be resolved" not in nginx.log


async def test_a_reload_keeps_the_pods(endpoints: EndpointService, start_nginx: StartNginx, run_dir: Path) -> None:
    one = await Pod("one").start()
    endpoints.publish(WEB, {"80": at(one)})
    nginx, port = await start_nginx(endpoints.addresses, http_for(endpoints, run_dir, "80"))
    await until_only(port, {Answer(200, "one")})
    nginx.reload()
    assert await spread(port, 300) == {"one": 300}


async def test_pods_share_evenly_whatever_their_ports(
    endpoints: EndpointService, start_nginx: StartNginx, run_dir: Path
) -> None:
    shared = free_port()
    three = [await Pod(f"p{n}", f"127.0.0.{n}", shared).start() for n in (1, 2, 3)]
    other = await Pod("other").start()
    endpoints.publish(WEB, {"http": at(*three, other)})
    _, port = await start_nginx(endpoints.addresses, http_for(endpoints, run_dir))
    await until_only(port, {Answer(200, pod.text) for pod in (*three, other)})
    shares = await spread(port, 400)
    assert all(90 <= count <= 110 for count in shares.values()), shares


async def test_hundreds_of_pods_need_tcp(endpoints: EndpointService, start_nginx: StartNginx, run_dir: Path) -> None:
    shared = free_port()
    await Pod("any", "0.0.0.0", shared).start()
    many = tuple(Address(f"127.1.{n // 250}.{n % 250 + 1}", shared) for n in range(600))
    endpoints.publish(WEB, {"http": many})
    nginx, port = await start_nginx(endpoints.addresses, http_for(endpoints, run_dir))
    await until_only(port, {Answer(200, "any")})
    await spread(port, 600)
    assert "could not be resolved" not in nginx.log


async def test_a_single_pod_is_replaced_and_nobody_notices(
    endpoints: EndpointService, start_nginx: StartNginx, run_dir: Path
) -> None:
    old = await Pod("old").start()
    endpoints.publish(WEB, {"http": at(old)})
    nginx, port = await start_nginx(endpoints.addresses, http_for(endpoints, run_dir))
    await until_only(port, {Answer(200, "old")}, path="/held")
    await old.stop()
    waiting = [asyncio.create_task(fetch(port, f"/held/%41?n={n}", method="POST", body=b"x" * 99)) for n in range(8)]
    await asyncio.sleep(0.3)
    endpoints.publish(WEB, {"http": ()})
    await asyncio.sleep(0.5)
    new = await Pod("new").start()
    endpoints.publish(WEB, {"http": at(new)})
    answers = await asyncio.gather(*waiting)
    assert {(answer.status, answer.body) for answer in answers} == {(200, "new")}, nginx.log
    assert len(new.seen) == 8 and all(b"X-Own: own" in seen and seen.endswith(b"x" * 99) for seen in new.seen)
    assert all(seen.startswith(b"POST ") for seen in new.seen)
    assert endpoints.hold_counters.ended[Reason.FRESH] >= 8 and endpoints.hold_counters.held_now == 0


async def test_a_broken_backend_costs_one_deadline_then_nothing(
    endpoints: EndpointService, start_nginx: StartNginx, run_dir: Path
) -> None:
    endpoints.publish(WEB, {"http": (Address("127.0.0.1", free_port()),)})
    _, port = await start_nginx(endpoints.addresses, http_for(endpoints, run_dir))
    await until_only(port, {Answer(502, (await fetch(port)).body)})
    loop = asyncio.get_running_loop()
    await asyncio.sleep(2.1)
    start = loop.time()
    assert (await fetch(port, "/held")).status == 502
    first = loop.time() - start
    start = loop.time()
    assert (await fetch(port, "/held")).status == 502
    assert first > 2.0 and loop.time() - start < 0.5
