"""Who answers for a canary without pods: in the DNS, and for a request that is held."""

from __future__ import annotations

import pytest

from controller.endpoints.hold import Asked, Changed, Decision, HoldMachine, Reason
from controller.endpoints.hold_server import parse_request
from controller.endpoints.message import RecordType, encode_query
from controller.endpoints.table import PortKey
from controller.endpoints.zone import Zone
from controller.tests.endpoints.test_zone import read

CANARY, MAIN = PortKey("default", "next", "http"), PortKey("default", "web", "80")
FAR = PortKey("tenant", "next", "http")
NEAR_NAME = "_http._tcp.next.or.80.web.default.svc"
FAR_NAME = "_http._tcp.next.tenant.or.80.web.default.svc"
CANARY_POD, MAIN_POD, GONE = ("10.0.0.1", 8080), ("10.0.0.2", 8080), ("10.0.0.9", 8080)


def query(name: str) -> bytes:
    return encode_query(1, [label.encode() for label in name.split(".")], RecordType.SRV)


def asked(zone: Zone, name: str) -> list[str]:
    found = {read(answer(query(name))).records[0][2] for answer in (zone.answer_udp, zone.answer_tcp)}
    return sorted(found)


@pytest.mark.parametrize(("key", "name"), [(CANARY, NEAR_NAME), (FAR, FAR_NAME), (CANARY, NEAR_NAME.upper())])
def test_the_dns_follows_the_pods_of_both(key: PortKey, name: str) -> None:
    zone = Zone(9)
    zone.complete = True
    sentinel, canary, main = ["0 1 9 127-0-0-1.pod"], ["0 1 8080 10-0-0-1.pod"], ["0 1 8080 10-0-0-2.pod"]
    assert asked(zone, name) == sentinel
    zone.put(MAIN, [MAIN_POD])
    assert asked(zone, name) == main
    zone.put(key, [CANARY_POD])
    assert asked(zone, name) == canary
    zone.put(key, [])
    assert asked(zone, name) == main
    zone.put(MAIN, [])
    assert asked(zone, name) == sentinel


@pytest.mark.parametrize(
    "name", ["_http._tcp.a.b.or.svc", "_http._tcp.a.or.80.web.svc", "_http._tcp.a.b.c.80.web.default.svc"]
)
def test_what_is_no_such_name(name: str) -> None:
    assert read(Zone(9).answer_udp(query(name))).code == 3


def held(machine: HoldMachine, now: float) -> list[Decision]:
    return machine.on(Asked(7, CANARY, tried=frozenset({GONE}), otherwise=MAIN), now)


def test_a_request_for_an_empty_canary_goes_to_the_main_pods() -> None:
    machine = HoldMachine()
    machine.on(Changed(MAIN, (MAIN_POD,)), 0)
    machine.on(Changed(CANARY, ()), 0)
    assert held(machine, 10) == [Decision(7, Reason.FRESH, MAIN_POD)]


def test_a_request_that_waits_for_the_canary_goes_there_when_it_loses_its_last_pod() -> None:
    machine = HoldMachine()
    machine.on(Changed(MAIN, (MAIN_POD,)), 0)
    machine.on(Changed(CANARY, (GONE,)), 0)
    assert held(machine, 10) == []
    assert machine.on(Changed(CANARY, ()), 11) == [Decision(7, Reason.FRESH, MAIN_POD)]


def test_a_canary_with_pods_is_waited_for() -> None:
    machine = HoldMachine()
    machine.on(Changed(MAIN, (MAIN_POD,)), 0)
    machine.on(Changed(CANARY, (GONE,)), 0)
    assert held(machine, 10) == []
    assert machine.on(Changed(CANARY, (GONE, CANARY_POD)), 11) == [Decision(7, Reason.FRESH, CANARY_POD)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http.next.default 80.web.default", (CANARY, MAIN)),
        ("http.next.default ", (CANARY, None)),
        ("http.next.default 80.web", None),
        (". 80.web.default", None),
        ("", None),
    ],
)
def test_both_are_named_in_a_question(text: str, expected: tuple[PortKey, PortKey | None] | None) -> None:
    found = parse_request(f"GET /?upstream={text} HTTP/1.1\r\n".encode())
    assert (found and (found.asked.key, found.asked.otherwise)) == expected
