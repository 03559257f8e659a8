"""ExternalName Services: which addresses and ports they come to, and what a failing resolver does."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from controller.endpoints.external import (
    ExternalNames,
    ExternalOptions,
    ExternalTarget,
    NameNotFound,
    allowed,
    cluster_service,
    target_of,
)
from controller.endpoints.table import Address
from controller.k8s.core import Service
from controller.model.refs import Kind, ObjectKey

KEY = ObjectKey(Kind.SERVICE, "ns", "ext")
FAST = ExternalOptions(interval=0.02, keep=0.1)


def external(name: str, *ports: dict[str, Any]) -> Service:
    spec = {"type": "ExternalName", "externalName": name, "ports": ports}
    return msgspec.convert({"metadata": {"name": "ext", "namespace": "ns"}, "spec": spec}, Service)


@pytest.mark.parametrize(
    ("ports", "label", "number"),
    [
        ([{"name": "http", "port": 80, "targetPort": 8080}], "http", 8080),
        ([{"name": "http", "port": 80}], "http", 80),
        ([{"name": "http", "port": 80, "targetPort": "web"}], "http", 80),
        ([{"port": 80, "targetPort": 8080}], "80", 8080),
        ([], "443", 443),
        ([{"port": 80}], "443", 443),
        ([], "http", None),
        ([], "70000", None),
    ],
)
def test_ports(ports: list[dict[str, Any]], label: str, number: int | None) -> None:
    target = target_of(external("example.com.", *ports), [label])
    assert target == ExternalTarget(KEY, "example.com", ((label, number),) if number else ())


def test_refused_addresses() -> None:
    bad = ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "fd00:ec2::254",
           "100.100.100.200", "::ffff:169.254.169.254", "::ffff:127.0.0.1"]  # fmt: skip
    assert allowed([*bad, "192.0.2.1", "10.0.0.1", "10.0.0.1", "2001:db8::1"]) == (
        "10.0.0.1",
        "192.0.2.1",
        "2001:db8::1",
    )
    assert len(allowed(bad, refused_too=True)) == len(bad)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("web.default", ("default", "web")),
        ("web.default.svc", ("default", "web")),
        ("web.default.svc.cluster.local", ("default", "web")),
        ("www.example.com", None),
        ("web", None),
    ],
)
def test_names_of_this_cluster(host: str, expected: tuple[str, str] | None) -> None:
    assert cluster_service(host, "cluster.local") == expected


class Rig:
    """A resolver that answers what it is told, and the last published addresses."""

    def __init__(self, answer: tuple[str, ...] | Exception = ()) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.published: dict[str, tuple[str, ...]] = {}
        self.news = asyncio.Event()

    async def resolve(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def publish(self, key: ObjectKey, ports: dict[str, tuple[Address, ...]]) -> None:
        self.published = {label: tuple(f"{a.ip}:{a.port}" for a in found) for label, found in ports.items()}
        self.news.set()

    async def until(self, expected: dict[str, tuple[str, ...]]) -> None:
        async with asyncio.timeout(2):
            while self.published != expected:
                self.news.clear()
                await self.news.wait()


async def run(names: ExternalNames, host: str) -> asyncio.Task[None]:
    names.use([ExternalTarget(KEY, host, (("http", 8080),))])
    return asyncio.create_task(names.run())


async def test_follows_the_name_and_forgets_it_slowly() -> None:
    rig = Rig(("192.0.2.2", "127.0.0.1", "192.0.2.1"))
    task = await run(ExternalNames(rig.publish, options=FAST, resolve=rig.resolve), "example.com")
    await rig.until({"http": ("192.0.2.1:8080", "192.0.2.2:8080")})
    rig.answer = ("192.0.2.9",)
    await rig.until({"http": ("192.0.2.9:8080",)})
    rig.answer = socket.gaierror(socket.EAI_AGAIN, "busy")
    await asyncio.sleep(0.05)
    assert rig.published == {"http": ("192.0.2.9:8080",)}
    await rig.until({"http": ()})
    rig.answer = ("192.0.2.9",)
    await rig.until({"http": ("192.0.2.9:8080",)})
    rig.answer = NameNotFound("gone")
    start = asyncio.get_running_loop().time()
    await rig.until({"http": ()})
    assert asyncio.get_running_loop().time() - start < 0.08
    task.cancel()


async def test_literals_are_not_asked_for() -> None:
    rig = Rig()
    for host, expected in (
        ("192.0.2.7", ("192.0.2.7:8080",)),
        ("127.0.0.1", ()),
        ("[2001:db8::1]", ("2001:db8::1:8080",)),
    ):
        task = await run(ExternalNames(rig.publish, options=FAST, resolve=rig.resolve), host)
        await rig.until({"http": expected})
        task.cancel()
    assert rig.asked == []


async def test_services_of_this_cluster_are_answered_from_the_table() -> None:
    rig = Rig()

    def in_cluster(host: str, number: int) -> tuple[Address, ...] | None:
        return (Address("10.0.0.5", 1234),) if cluster_service(host, "cluster.local") and number == 8080 else None

    task = await run(
        ExternalNames(rig.publish, options=FAST, in_cluster=in_cluster, resolve=rig.resolve), "web.default"
    )
    await rig.until({"http": ("10.0.0.5:1234",)})
    assert rig.asked == []
    task.cancel()


async def test_a_resolver_that_hangs_is_asked_once() -> None:
    rig = Rig()
    hang = asyncio.Event()

    async def resolve(host: str) -> tuple[str, ...]:
        rig.asked.append(host)
        await hang.wait()
        return ()

    task = await run(ExternalNames(rig.publish, options=FAST, resolve=resolve), "example.com")
    await asyncio.sleep(0.1)
    assert rig.asked == ["example.com"] and rig.published == {"http": ()}
    task.cancel()


async def test_the_real_resolver() -> None:
    rig = Rig()
    options = ExternalOptions(interval=0.02, allow_refused=True)
    task = await run(ExternalNames(rig.publish, options=options), "localhost")
    async with asyncio.timeout(3):
        while not any("127.0.0.1" in place for place in rig.published["http"]):
            rig.news.clear()
            await rig.news.wait()
    task.cancel()
