"""Table, DNS and hold kept in step by one call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from controller.endpoints.message import RecordType
from controller.endpoints.service import EndpointService
from controller.endpoints.table import Address, AddressTable
from controller.k8s.core import Service
from controller.k8s.endpointslice import EndpointSlice
from controller.model.refs import Kind, ObjectKey
from controller.tests.endpoints.test_responder import over_udp
from controller.tests.endpoints.test_zone import ask, read

WEB = ObjectKey(Kind.SERVICE, "default", "web")
NAME = "_http._tcp.web.default.svc"
SENTINEL = ["0 1 10503 127-0-0-1.pod"]


@pytest_asyncio.fixture
async def endpoints(run_dir: Path) -> AsyncIterator[EndpointService]:
    service = EndpointService(hold_socket=str(run_dir / "hold.sock"), sentinel_port=10_503)
    await service.start(sockets=1)
    service.all_known()
    yield service
    await service.stop()


async def places(endpoints: EndpointService, name: str = NAME) -> list[str]:
    found = read(await over_udp(endpoints.responder.ports[0], ask(name, RecordType.SRV)))
    return [text for _, _, text in found.records]


def web(*, port: str = "http", kind: str = "ClusterIP") -> Service:
    spec = {"type": kind, "ports": [{"name": port, "port": 80, "targetPort": 8080}]}
    return msgspec.convert({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}, Service)


def slice_of(*ips: str, port: str = "http") -> EndpointSlice:
    endpoints = [{"addresses": [ip]} for ip in ips]
    value = {"metadata": {"name": "s"}, "endpoints": endpoints, "ports": [{"name": port, "port": 8080}]}
    return msgspec.convert(value, EndpointSlice)


async def test_a_service_from_its_objects_to_dns(endpoints: EndpointService) -> None:
    assert await places(endpoints) == SENTINEL
    assert endpoints.update(web(), [slice_of("10.0.0.2"), slice_of("10.0.0.1")])
    assert await places(endpoints) == ["0 1 8080 10-0-0-1.pod", "0 1 8080 10-0-0-2.pod"]
    assert not endpoints.update(web(), [slice_of("10.0.0.1", "10.0.0.2")])
    assert endpoints.update(web(), [])
    assert await places(endpoints) == SENTINEL


async def test_a_port_that_is_renamed_leaves_nothing_behind(endpoints: EndpointService) -> None:
    endpoints.update(web(), [slice_of("10.0.0.1")])
    endpoints.update(web(port="main"), [slice_of("10.0.0.1", port="main")])
    assert await places(endpoints) == SENTINEL
    assert await places(endpoints, NAME.replace("_http", "_main")) == ["0 1 8080 10-0-0-1.pod"]
    endpoints.remove(WEB)
    assert await places(endpoints, NAME.replace("_http", "_main")) == SENTINEL
    assert endpoints.table.snapshot() == {}


async def test_starts_from_the_table_of_the_last_run(endpoints: EndpointService) -> None:
    saved = AddressTable()
    saved.put(("default", "web"), {"http": (Address("10.0.0.9", 80),)})
    endpoints.fill(saved)
    assert await places(endpoints) == ["0 1 80 10-0-0-9.pod"]


async def test_by_number_for_names_that_point_back_into_the_cluster(endpoints: EndpointService) -> None:
    endpoints.update(web(), [slice_of("10.0.0.1")])
    assert endpoints.at_number(web(), 80) == (Address("10.0.0.1", 8080),)
    assert endpoints.at_number(web(), 81) is None
    assert endpoints.at_number(web(kind="ExternalName"), 80) is None


async def test_a_name_that_does_not_fit_dns_is_only_reported(
    endpoints: EndpointService, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints.publish(ObjectKey(Kind.SERVICE, "default", "x" * 64), {"http": (Address("10.0.0.1", 80),)})
    assert "name does not fit DNS" in caplog.text
    endpoints.remove(ObjectKey(Kind.SERVICE, "default", "x" * 64))


async def test_publishing_many_is_cheap(endpoints: EndpointService) -> None:
    """One change of a big Service must not stall the loop: well below what a person could notice."""
    pieces = [slice_of(*[f"10.0.{n}.{k}" for k in range(100)]) for n in range(10)]
    endpoints.update(web(), pieces)
    loop = asyncio.get_running_loop()
    start = loop.time()
    endpoints.update(web(), pieces[:-1])
    assert loop.time() - start < 0.2
