"""DNS messages as bytes: parse a question, write an answer; no I/O and no state.

As much of RFC 1035, 2782 (SRV) and 3596 (AAAA) as a resolver on the same machine needs. Nothing here raises for what
a client sent: `parse` answers with a value for every input. An answer is `id + head + question + records`; head and
records are made once per name, so that a reply costs one concatenation and keeps the letter case of the question.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

HEADER_SIZE = 12
MAX_UDP = 4096
"""nginx reads so much from a UDP socket although it sends no EDNS (NGX_RESOLVER_UDP_SIZE)."""
MAX_TCP = 65_535
PLAIN_QUERY = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
"""Header after the id, as nginx sends it: recursion desired, one question, nothing else."""

_IN, _ANY_CLASS = 1, 255
_OWNER = b"\xc0\x0c"
"""Compression pointer to the question: every record is about the name that was asked for."""


class RecordType(IntEnum):
    A = 1
    AAAA = 28
    SRV = 33
    ANY = 255


class ResponseCode(IntEnum):
    NO_ERROR = 0
    FORMAT_ERROR = 1
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


class Question(NamedTuple):
    """What was asked. `labels` are lower-case, `wire` is the question as sent, `recursion` its RD bit."""

    id: bytes
    labels: tuple[bytes, ...]
    type: int
    wire: bytes
    recursion: bool


class Malformed(NamedTuple):
    """Not a question we can read; `reply` goes back as it is, None means silence."""

    reply: bytes | None


class Records(NamedTuple):
    """The part of an answer that does not depend on who asks."""

    code: ResponseCode
    answers: int
    wire: bytes


NO_DATA = Records(ResponseCode.NO_ERROR, 0, b"")
NO_SUCH_NAME = Records(ResponseCode.NAME_ERROR, 0, b"")
REFUSED = Records(ResponseCode.REFUSED, 0, b"")


def parse(data: bytes) -> Question | Malformed:
    """Never raises. Answers (QR set) and fragments of a header are met with silence: a reply could loop."""
    if len(data) < HEADER_SIZE or data[2] & 0x80:
        return Malformed(None)
    if data[2] & 0x78:
        return Malformed(_error(data, ResponseCode.NOT_IMPLEMENTED))
    if data[4:6] != b"\x00\x01":
        return Malformed(_error(data, ResponseCode.FORMAT_ERROR))
    read = _name(data, HEADER_SIZE)
    if read is None or len(data) < read[1] + 4:
        return Malformed(_error(data, ResponseCode.FORMAT_ERROR))
    labels, end = read
    kind, klass = struct.unpack_from(">HH", data, end)
    if klass not in (_IN, _ANY_CLASS):
        return Malformed(_error(data, ResponseCode.REFUSED))
    return Question(data[:2], labels, kind, data[HEADER_SIZE : end + 4], bool(data[2] & 1))


def head(records: Records, *, truncated: bool = False, recursion: bool = True) -> bytes:
    """The header after the id: authoritative, one question, `records`; RD is copied (RFC 1035, 4.1.1)."""
    flags = 0x8400 | (0x0200 if truncated else 0) | (0x0100 if recursion else 0) | records.code
    return struct.pack(">5H", flags, 1, 0 if truncated else records.answers, 0, 0)


def reply(question: Question, records: Records, limit: int) -> bytes:
    """A whole answer of at most `limit` bytes; one that does not fit is marked truncated and carries no records."""
    size = HEADER_SIZE + len(question.wire) + len(records.wire)
    if size > limit:
        return question.id + head(records, truncated=True, recursion=question.recursion) + question.wire
    return question.id + head(records, recursion=question.recursion) + question.wire + records.wire


def service_records(targets: Sequence[tuple[bytes, int]], *, room: int) -> tuple[Records, int]:
    """SRV records for (target name in wire form, port), and how many of them did not fit into `room` bytes.

    Time to live 0 makes nginx ask again every second. Weight 1 for each: a target has one address, so equal weights are
    equal shares.
    """
    wire = bytearray()
    for position, (target, port) in enumerate(targets):
        record = _record(RecordType.SRV, 0, struct.pack(">HHH", 0, 1, port) + target)
        if len(wire) + len(record) > room:
            return Records(ResponseCode.NO_ERROR, position, bytes(wire)), len(targets) - position
        wire += record
    return Records(ResponseCode.NO_ERROR, len(targets), bytes(wire)), 0


def address_records(addresses: Iterable[IPv4Address | IPv6Address], ttl: int) -> Records:
    """A and AAAA records; `ttl` in seconds."""
    wires = [
        _record(RecordType.A if address.version == 4 else RecordType.AAAA, ttl, address.packed) for address in addresses
    ]
    return Records(ResponseCode.NO_ERROR, len(wires), b"".join(wires))


def encode_name(labels: Iterable[bytes]) -> bytes:
    """Wire form, uncompressed (RFC 2782 forbids compression in targets). Raises ValueError for what is no name."""
    wire = bytearray()
    for label in labels:
        if not 0 < len(label) < 64:
            raise ValueError(f"not a label: {label!r}")
        wire.append(len(label))
        wire += label
    if len(wire) > 254:
        raise ValueError("name too long")
    return bytes(wire) + b"\x00"


def encode_question(labels: Iterable[bytes], kind: RecordType) -> bytes:
    return encode_name(labels) + struct.pack(">HH", kind, _IN)


def encode_query(identity: int, labels: Iterable[bytes], kind: RecordType) -> bytes:
    """A query as nginx sends it; for tests and the self-check."""
    return struct.pack(">H", identity) + PLAIN_QUERY + encode_question(labels, kind)


def _record(kind: RecordType, ttl: int, data: bytes) -> bytes:
    return _OWNER + struct.pack(">HHIH", kind, _IN, ttl, len(data)) + data


def _name(data: bytes, at: int) -> tuple[tuple[bytes, ...], int] | None:
    """Labels and where the name ends; None for a pointer (useless in the first question), or a cut or long name."""
    labels: list[bytes] = []
    start = at
    while at < len(data):
        length = data[at]
        at += 1
        if length == 0:
            return tuple(labels), at
        if length > 63 or at + length - start > 254:
            return None
        labels.append(data[at : at + length].lower())
        at += length
    return None


def _error(data: bytes, code: ResponseCode) -> bytes:
    """Header only: the question may be what is broken."""
    return data[:2] + struct.pack(">5H", 0x8000 | (data[2] & 0x79) << 8 | code, 0, 0, 0, 0)
