"""What our DNS says, read back by a small parser of its own; and that no bytes make it raise."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.endpoints import message
from controller.endpoints.message import Malformed, Question, RecordType, encode_query, parse
from controller.endpoints.table import PortKey
from controller.endpoints.zone import Zone

WEB = PortKey("default", "web", "http")
WEB_NAME = "_http._tcp.web.default.svc"


@dataclass
class Read:
    """An answer as a resolver reads it."""

    code: int
    truncated: bool
    question: bytes
    records: list[tuple[int, int, str]]


def read(reply: bytes | None) -> Read:
    assert reply is not None
    _, flags, questions, answers, _, _ = struct.unpack_from(">6H", reply)
    at = 12
    if questions:
        while reply[at]:
            at += reply[at] + 1
        at += 5
    question = reply[12:at]
    records = []
    for _ in range(answers):
        owner, kind, _, ttl, size = struct.unpack_from(">HHHIH", reply, at)
        assert owner == 0xC00C
        data = reply[at + 12 : at + 12 + size]
        at += 12 + size
        records.append((kind, ttl, text_of(kind, data)))
    assert at == len(reply)
    return Read(flags & 15, bool(flags & 0x200), question, records)


def text_of(kind: int, data: bytes) -> str:
    if kind != RecordType.SRV:
        return str(ipaddress.ip_address(data))
    priority, weight, port = struct.unpack_from(">HHH", data)
    labels, at = [], 6
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += data[at] + 1
    return f"{priority} {weight} {port} {'.'.join(labels)}"


def ask(name: str, kind: RecordType, identity: int = 7) -> bytes:
    return encode_query(identity, [label.encode() for label in name.split(".")], kind)


@pytest.fixture
def zone() -> Zone:
    zone = Zone(10_503)
    zone.complete = True
    return zone


def srv(zone: Zone, name: str = WEB_NAME) -> list[str]:
    found = read(zone.answer_udp(ask(name, RecordType.SRV)))
    assert {(kind, ttl) for kind, ttl, _ in found.records} == {(RecordType.SRV, 0)}
    return [text for _, _, text in found.records]


def test_one_record_per_place(zone: Zone) -> None:
    zone.put(WEB, [("10.0.0.1", 8080), ("10.0.0.2", 9090), ("fd00::1", 8080)])
    assert srv(zone) == ["0 1 8080 10-0-0-1.pod", "0 1 9090 10-0-0-2.pod", "0 1 8080 fd00--1.pod"]


@pytest.mark.parametrize("name", [WEB_NAME, "_80._tcp.gone.default.svc", "_dns._udp.web.default.svc"])
def test_empty_and_unknown_services_answer_the_sentinel(zone: Zone, name: str) -> None:
    zone.put(WEB, [])
    assert srv(zone, name) == ["0 1 10503 127-0-0-1.pod"]


@pytest.mark.parametrize(
    "name",
    ["_80._tcp.gone.default.svc", "_80._tcp.gone.default.stream", "_80._tcp.gone.or.80.lost.default.svc"],
)
def test_before_everything_is_known_nobody_is_unknown(zone: Zone, name: str) -> None:
    zone.complete = False
    zone.put(WEB, [])
    assert read(zone.answer_udp(ask(name, RecordType.SRV))).code == message.ResponseCode.REFUSED
    assert srv(zone) == ["0 1 10503 127-0-0-1.pod"]


def test_a_dropped_service_answers_the_sentinel(zone: Zone) -> None:
    zone.put(WEB, [("10.0.0.1", 8080)])
    zone.drop(WEB)
    assert srv(zone) == ["0 1 10503 127-0-0-1.pod"]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("10-0-0-1.pod", RecordType.A, "10.0.0.1"),
        ("fd00--1.pod", RecordType.AAAA, "fd00::1"),
        ("--1.pod", RecordType.AAAA, "::1"),
        ("10-0-0-1.pod", RecordType.AAAA, None),
        ("fd00--1.pod", RecordType.A, None),
        (WEB_NAME, RecordType.A, None),
    ],
)
def test_target_names_say_their_address(zone: Zone, name: str, kind: RecordType, expected: str | None) -> None:
    found = read(zone.answer_udp(ask(name, kind)))
    assert found.code == message.ResponseCode.NO_ERROR
    assert found.records == ([] if expected is None else [(kind, 86_400, expected)])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("example.com", message.ResponseCode.REFUSED),
        ("web.default.svc", message.ResponseCode.NAME_ERROR),
        ("http._tcp.web.default.svc", message.ResponseCode.NAME_ERROR),
        ("nonsense.pod", message.ResponseCode.NAME_ERROR),
        ("a.10-0-0-1.pod", message.ResponseCode.NAME_ERROR),
    ],
)
def test_other_names(zone: Zone, name: str, code: int) -> None:
    assert read(zone.answer_udp(ask(name, RecordType.SRV))).code == code


def test_letter_case_is_ignored_and_echoed(zone: Zone) -> None:
    zone.put(WEB, [("10.0.0.1", 8080)])
    query = ask("_HTTP._tcp.Web.default.SVC", RecordType.SRV, 0xABCD)
    reply = zone.answer_udp(query)
    assert reply is not None and reply[:2] == b"\xab\xcd"
    assert read(reply).question == query[12:] and len(read(reply).records) == 1


def test_long_answers_are_cut_over_udp_and_whole_over_tcp(zone: Zone) -> None:
    zone.put(WEB, [(f"10.0.{n // 256}.{n % 256}", 8080) for n in range(500)])
    query = ask(WEB_NAME, RecordType.SRV)
    short = read(zone.answer_udp(query))
    assert short.truncated and short.records == []
    whole = read(zone.answer_tcp(query))
    assert not whole.truncated and len(whole.records) == 500


def test_an_answer_of_4096_bytes_still_goes_over_udp(zone: Zone) -> None:
    size = 0
    for pods in range(90, 130):
        zone.put(WEB, [(f"10.0.0.{n}", 8080) for n in range(pods)])
        reply = zone.answer_udp(ask(WEB_NAME, RecordType.SRV))
        assert reply is not None and len(reply) <= 4096
        size = max(size, len(reply))
    assert size > 4050


def test_what_does_not_even_fit_tcp_is_left_out(zone: Zone, caplog: pytest.LogCaptureFixture) -> None:
    zone.put(WEB, [(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 8080) for n in range(4000)])
    reply = zone.answer_tcp(ask(WEB_NAME, RecordType.SRV))
    assert reply is not None and len(reply) <= 65_535 and len(read(reply).records) > 1700
    assert "too many endpoints" in caplog.text


def test_a_name_that_is_none_is_refused(zone: Zone) -> None:
    with pytest.raises(ValueError, match="label"):
        zone.put(PortKey("default", "x" * 64, "http"), [])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", None),
        (b"\0" * 11, None),
        (b"\0\7\x84\0" + b"\0\1" + b"\0" * 30, None),
        (b"\0\7\x10\0\0\1\0\0\0\0\0\0", message.ResponseCode.NOT_IMPLEMENTED),
        (b"\0\7\1\0\0\0\0\0\0\0\0\0", message.ResponseCode.FORMAT_ERROR),
        (b"\0\7\1\0\0\2\0\0\0\0\0\0", message.ResponseCode.FORMAT_ERROR),
        (b"\0\7\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", message.ResponseCode.FORMAT_ERROR),
        (b"\0\7\1\0\0\1\0\0\0\0\0\0\3web\0\0\1", message.ResponseCode.FORMAT_ERROR),
        (b"\0\7\1\0\0\1\0\0\0\0\0\0\3web\0\0\1\0\3", message.ResponseCode.REFUSED),
    ],
)
def test_malformed(zone: Zone, data: bytes, expected: int | None) -> None:
    reply = zone.answer_udp(data)
    assert reply is None if expected is None else read(reply).code == expected


def test_extra_records_of_a_query_are_ignored(zone: Zone) -> None:
    """dig sends EDNS."""
    zone.put(WEB, [("10.0.0.1", 8080)])
    query = bytearray(ask(WEB_NAME, RecordType.SRV) + b"\0\0\x29\x10\0\0\0\0\0\0\0")
    query[11] = 1
    assert len(read(zone.answer_udp(bytes(query))).records) == 1


def fuzzed(data: bytes) -> None:
    zone = Zone(1)
    zone.put(WEB, [("10.0.0.1", 8080)])
    for reply in (zone.answer_udp(data), zone.answer_tcp(data)):
        if reply is not None:
            assert reply[:2] == data[:2] and reply[2] & 0x80
            read(reply)


@given(st.binary(max_size=600))
def test_no_bytes_raise(data: bytes) -> None:
    fuzzed(data)


@given(st.binary(max_size=300), st.integers(0, 65_535))
def test_no_question_raises(tail: bytes, identity: int) -> None:
    fuzzed(struct.pack(">H", identity) + message.PLAIN_QUERY + tail)


@given(st.integers(0, 200), st.integers(0, 255))
def test_no_damaged_byte_raises(position: int, value: int) -> None:
    data = bytearray(ask(WEB_NAME, RecordType.SRV))
    data[position % len(data)] = value
    fuzzed(bytes(data))


labels = st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=3)


@given(labels, st.sampled_from(list(RecordType)), st.integers(0, 65_535))
def test_a_query_reads_back(names: list[bytes], kind: RecordType, identity: int) -> None:
    question = parse(encode_query(identity, names, kind))
    assert isinstance(question, Question) and not isinstance(question, Malformed)
    assert question.labels == tuple(name.lower() for name in names) and question.type == kind
