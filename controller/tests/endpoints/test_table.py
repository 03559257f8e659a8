"""From Service and EndpointSlices to addresses: the rules one by one, then what must hold for any input."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.endpoints.table import Address, AddressTable, PortKey, State, addresses_of, restore, routable
from controller.k8s.core import Service
from controller.k8s.endpointslice import EndpointSlice


def service(*ports: dict[str, Any]) -> Service:
    return msgspec.convert({"metadata": {"name": "web", "namespace": "ns"}, "spec": {"ports": ports}}, Service)


def piece(
    endpoints: list[dict[str, Any]] | None, ports: list[dict[str, Any]] | None, family: str = "IPv4"
) -> EndpointSlice:
    return msgspec.convert(
        {"metadata": {"name": "s"}, "addressType": family, "endpoints": endpoints, "ports": ports}, EndpointSlice
    )


def pod(ip: str, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": [ip], "conditions": conditions}


HTTP = {"name": "http", "port": 80, "targetPort": 8080}


def places(found: tuple[Address, ...]) -> list[str]:
    return [f"{address.ip}:{address.port}" for address in found]


@pytest.mark.parametrize(
    ("port", "slices", "expected"),
    [
        pytest.param(HTTP, [], [], id="no slice"),
        pytest.param(
            HTTP, [piece([pod("10.0.0.1")], [{"name": "http", "port": 8080}])], ["10.0.0.1:8080"], id="unset is ready"
        ),
        pytest.param(
            HTTP,
            [piece([pod("10.0.0.2"), pod("10.0.0.1", ready=False)], [{"name": "http", "port": 8080}])],
            ["10.0.0.2:8080"],
            id="not ready is left out",
        ),
        pytest.param(
            HTTP,
            [
                piece([pod("10.0.0.1", ready=False, serving=True, terminating=True)], [{"name": "http", "port": 1}]),
                piece([pod("10.0.0.2", ready=True)], [{"name": "http", "port": 2}]),
            ],
            ["10.0.0.2:2"],
            id="draining gives way to ready in another slice",
        ),
        pytest.param(
            HTTP,
            [piece([pod("10.0.0.1", ready=False, serving=True, terminating=True)], [{"name": "http", "port": 1}])],
            ["10.0.0.1:1"],
            id="draining serves when alone",
        ),
        pytest.param(
            HTTP,
            [piece([pod("10.0.0.1", ready=False, terminating=True)], [{"name": "http", "port": 1}])],
            [],
            id="serving unset follows ready",
        ),
        pytest.param(
            HTTP,
            [
                piece([pod("10.0.0.1"), pod("10.0.0.9")], [{"name": "http", "port": 1}]),
                piece([pod("10.0.0.1")], [{"name": "http", "port": 1}]),
            ],
            ["10.0.0.1:1", "10.0.0.9:1"],
            id="duplicates across slices",
        ),
        pytest.param(
            HTTP,
            [
                piece([pod("10.0.0.1")], [{"name": "http", "port": 8080}]),
                piece([pod("10.0.0.2")], [{"name": "http", "port": 9090}]),
            ],
            ["10.0.0.1:8080", "10.0.0.2:9090"],
            id="named port differs between pods",
        ),
        pytest.param(
            HTTP,
            [piece([pod("10.0.0.1")], [{"name": "admin", "port": 1}, {"name": "http", "port": 2}])],
            ["10.0.0.1:2"],
            id="by name",
        ),
        pytest.param(
            {"port": 80, "targetPort": "web"},
            [piece([pod("10.0.0.1")], [{"name": "", "port": 2}, {"port": 1}])],
            ["10.0.0.1:1", "10.0.0.1:2"],
            id="unnamed takes all",
        ),
        pytest.param(
            {"port": 80},
            [piece([pod("10.0.0.1")], [{"port": 1, "protocol": "UDP"}, {"port": 2, "protocol": "TCP"}])],
            ["10.0.0.1:2"],
            id="TCP only",
        ),
        pytest.param(
            HTTP,
            [piece([pod("10.0.0.1")], [{"name": "other", "port": 1}])],
            ["10.0.0.1:8080"],
            id="no such name: numeric target",
        ),
        pytest.param(
            {"name": "http", "port": 80, "targetPort": "web"},
            [piece([pod("10.0.0.1")], [{"name": "other", "port": 1}])],
            [],
            id="no such name: named target",
        ),
        pytest.param(HTTP, [piece([pod("10.0.0.1")], None)], ["10.0.0.1:8080"], id="slice without ports"),
        pytest.param(
            {"name": "http", "port": 80},
            [piece([pod("10.0.0.1")], [])],
            ["10.0.0.1:80"],
            id="no targetPort is the port",
        ),
        pytest.param(
            HTTP, [piece([pod("10.0.0.1")], [{"name": "http"}])], ["10.0.0.1:8080"], id="null port is all ports: target"
        ),
        pytest.param(
            {"name": "http", "port": 80, "targetPort": "web"},
            [piece([pod("10.0.0.1")], [{"name": "http"}])],
            ["10.0.0.1:80"],
            id="null port, named target: the port",
        ),
        pytest.param(
            HTTP,
            [
                piece([pod("fd00:0::1")], [{"name": "http", "port": 1}], "IPv6"),
                piece([pod("10.0.0.1")], [{"name": "http", "port": 1}]),
                piece([pod("pod.example.com")], [{"name": "http", "port": 1}], "FQDN"),
            ],
            ["10.0.0.1:1", "fd00::1:1"],
            id="both families, no names",
        ),
        pytest.param(
            HTTP,
            [
                piece(
                    [pod(ip) for ip in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "garbage", "10.0.0.1")],
                    [{"name": "http", "port": 1}],
                )
            ],
            ["10.0.0.1:1"],
            id="unreachable by rule",
        ),
        pytest.param(HTTP, [piece(None, [{"name": "http", "port": 1}])], [], id="endpoints null"),
    ],
)
def test_rules(port: dict[str, Any], slices: list[EndpointSlice], expected: list[str]) -> None:
    (found,) = addresses_of(service(port), slices).values()
    assert places(found) == expected


def test_ports_are_known_by_name_or_number() -> None:
    slices = [piece([pod("10.0.0.1")], [{"name": "http", "port": 1}])]
    assert addresses_of(service(HTTP), slices).keys() == {"http"}
    assert addresses_of(service({"port": 80}), slices).keys() == {"80"}
    dns = {"name": "dns", "port": 53, "protocol": "UDP"}
    assert addresses_of(service(HTTP, dns), slices).keys() == {"http"}
    assert addresses_of(service(HTTP, dns), slices, protocol="UDP").keys() == {"dns"}


def test_states_and_zones_are_kept() -> None:
    endpoint = {**pod("10.0.0.1", ready=False, serving=True, terminating=True), "zone": "a"}
    (found,) = addresses_of(service(HTTP), [piece([endpoint], [{"name": "http", "port": 1}])])["http"]
    assert found == Address("10.0.0.1", 1, "a", State.DRAINING)


def test_loopback_is_for_manifests_only() -> None:
    slices = [piece([pod("127.0.0.1")], [{"name": "http", "port": 1}])]
    assert addresses_of(service(HTTP), slices)["http"] == ()
    assert places(addresses_of(service(HTTP), slices, loopback=True)["http"]) == ["127.0.0.1:1"]


@pytest.mark.parametrize("text", ["::1", "::ffff:127.0.0.1", "fe80::1", "fe80::1%eth0", "::", "ff02::1", "0.1.2.3", ""])
def test_not_routable(text: str) -> None:
    assert routable(text) is None


octet = st.integers(0, 255).map(lambda n: f"10.0.0.{n % 4}")
conditions = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([None, True, False]) for name in ("ready", "serving", "terminating")}
)
pods = st.lists(st.builds(lambda ip, state: pod(ip, **state), octet, conditions), max_size=6)
slice_ports = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["http", "", None])}, optional={"port": st.sampled_from([None, 0, 1, 2, 70_000])}
    ),
    max_size=3,
)


@given(st.lists(st.builds(piece, pods, slice_ports), max_size=4), st.randoms())
def test_order_and_repetition_of_slices_do_not_matter(slices: list[EndpointSlice], random: Any) -> None:
    once = addresses_of(service(HTTP), slices)["http"]
    shuffled = slices * 2
    random.shuffle(shuffled)
    assert addresses_of(service(HTTP), shuffled)["http"] == once
    assert len({address[:2] for address in once}) == len(once)
    assert len({address.state is State.READY for address in once}) <= 1
    assert all(0 < address.port < 65_536 for address in once)


def test_table_survives_a_restart() -> None:
    table = AddressTable()
    table.put(("ns", "web"), {"http": (Address("10.0.0.1", 80, "a"),), "admin": ()})
    again = restore(table.save())
    assert places(again.addresses(PortKey("ns", "web", "http"))) == ["10.0.0.1:80"]
    assert again.ports(("ns", "web")).keys() == {"http", "admin"}
    assert again.addresses(PortKey("ns", "other", "http")) == ()


@pytest.mark.parametrize(
    "saved", [b"", b"{}", b"\xff", b'[{"namespace":"a","service":"b","ports":{"p":[["169.254.169.254",80]]}}]']
)
def test_a_damaged_table_is_refused(saved: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        restore(saved)
