"""What our DNS says: one SRV name per Service port, and one address name per pod address.

    _http._tcp.web.default.svc   SRV  0 1 8080 10-0-0-1.pod      (TTL 0: nginx asks every second)
    10-0-0-1.pod                 A    10.0.0.1                    (TTL one day: the name says it all)

Target names are made of the address itself. nginx tells peers apart by target name, address and port: a peer that
stays in the Service stays in nginx with its counters, TLS sessions and share of the load while others come and go,
and its address is asked for once. A Service that is empty or unknown answers with the sentinel, a server of our own
that says 503; an empty answer would make nginx say 502 and wait 10 seconds before it asks again. Until everything
has been read nobody is known to be unknown: such a question is refused, and nginx keeps the peers that it has.

A canary without pods is answered for by the Service whose requests it shares, and the name says which:

    _http._tcp.web-canary.or.http.web.default.svc

(with a namespace before the `or`, where the canary has another one). So nothing has to be told beforehand.

The same Service under `web.default.stream` is for TCP, UDP and TLS that is passed through: where it is empty the
answer is port 0 of loopback, on which nobody can listen, so that nginx hangs up on the client.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from controller.endpoints import message
from controller.endpoints.message import Malformed, Question, Records, RecordType
from controller.endpoints.table import PortKey

logger = logging.getLogger(__name__)

ADDRESS_TTL = 86_400
SENTINEL_IP = "127.0.0.1"

_SERVICES, _STREAMS, _PODS, _OTHERWISE = b"svc", b"stream", b"pod", b"or"


class _Entry:
    """A prepared SRV answer. `udp_head` is None where the answer does not fit a datagram."""

    __slots__ = ("records", "tcp_head", "udp_head")

    def __init__(self, records: Records, question_size: int) -> None:
        self.records = records
        self.tcp_head = message.head(records)
        fits = message.HEADER_SIZE + question_size + len(records.wire) <= message.MAX_UDP
        self.udp_head = self.tcp_head if fits else None


class Zone:
    """Answers to queries. Owned by the event loop; replacing the content of a name is one assignment."""

    def __init__(self, sentinel_port: int) -> None:
        """`sentinel_port`: where the server that says 503 listens on 127.0.0.1. `complete` is to be set once all
        Services are known."""
        self._entries: dict[bytes, _Entry] = {}
        self.complete = False
        self._sentinel = ((SENTINEL_IP, sentinel_port),)
        self._empty = message.service_records(_targets(self._sentinel), room=message.MAX_UDP)[0]
        self._nobody = message.service_records(_targets(((SENTINEL_IP, 0),)), room=message.MAX_UDP)[0]

    def put(self, key: PortKey, places: Sequence[tuple[str, int]]) -> bool:
        """Say from now on that `key` is at these (ip, port) places; tells whether that is news.

        Raises ValueError where the key is no DNS name.
        """
        question = message.encode_question(_labels(key), RecordType.SRV)
        room = message.MAX_TCP - message.HEADER_SIZE - len(question)
        records, left_out = message.service_records(_targets(places or self._sentinel), room=room)
        if left_out:
            logger.error("too many endpoints", extra={**_fields(key), "left_out": left_out})
        known = self._entries.get(question)
        if known is not None and known.records == records:
            return False
        self._entries[question] = _Entry(records, len(question))
        return True

    def drop(self, key: PortKey) -> None:
        with suppress(ValueError):
            self._entries.pop(message.encode_question(_labels(key), RecordType.SRV), None)

    def answer_udp(self, data: bytes) -> bytes | None:
        """The reply to one datagram, or None for silence. Never raises, whatever came in."""
        question = data[message.HEADER_SIZE :]
        # Lower-casing the wire form is safe: lengths are below 64, and so are the type and class that match.
        entry = self._entries.get(question.lower())
        if entry is None or entry.udp_head is None or data[2:12] != message.PLAIN_QUERY:
            return self._answer(data, message.MAX_UDP)
        return data[:2] + entry.udp_head + question + entry.records.wire

    def answer_tcp(self, data: bytes) -> bytes | None:
        """The reply to one message of a TCP connection, without its length."""
        return self._answer(data, message.MAX_TCP)

    def _answer(self, data: bytes, limit: int) -> bytes | None:
        question = message.parse(data)
        if isinstance(question, Malformed):
            return question.reply
        return message.reply(question, self._look_up(question), limit)

    def _look_up(self, question: Question) -> Records:
        labels = question.labels
        if labels[-1:] == (_PODS,):
            return self._pod(question)
        streams = labels[-1:] == (_STREAMS,)
        if streams:
            labels = (*labels[:-1], _SERVICES)
        names = _names(labels)
        if not names or labels[-1] != _SERVICES or labels[1] not in (b"_tcp", b"_udp") or labels[0][:1] != b"_":
            return message.NO_SUCH_NAME if labels[-1:] == (_SERVICES,) else message.REFUSED
        if question.type not in (RecordType.SRV, RecordType.ANY):
            return message.NO_DATA
        entries = [self._entries.get(message.encode_question(name, RecordType.SRV)) for name in names]
        known = [entry.records for entry in entries if entry is not None]
        if not known and not self.complete:
            return message.REFUSED
        found = (records for records in known if records != self._empty)
        return next(found, self._nobody if streams else self._empty)

    def _pod(self, question: Question) -> Records:
        address = _pod_address(question.labels[0]) if len(question.labels) == 2 else None
        if address is None:
            return message.NO_SUCH_NAME
        if question.type not in (RecordType.ANY, RecordType.A if address.version == 4 else RecordType.AAAA):
            return message.NO_DATA
        return message.address_records([address], ADDRESS_TTL)


def _names(labels: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The names of the Services that may answer, first choice first; none where this is no name of a Service."""
    if len(labels) == 5:
        return [labels]
    for own in (3, 4):
        if len(labels) == own + 5 and labels[own] == _OTHERWISE:
            port, service, namespace = labels[own + 1 : own + 4]
            first = [*labels[:3], labels[3] if own == 4 else namespace, _SERVICES]
            return [first, [b"_" + port, labels[1], service, namespace, _SERVICES]]
    return []


@lru_cache(maxsize=4096)
def _pod_name(ip: str) -> bytes:
    """`10-0-0-1.pod`, `fd00--1.pod`, in wire form."""
    return message.encode_name([ip.replace(".", "-").replace(":", "-").encode(), _PODS])


def _pod_address(label: bytes) -> IPv4Address | IPv6Address | None:
    """Asked thousands of times by the workers of a new configuration, each name once."""
    text = label.decode("latin-1")
    for separator, family, address in ((".", socket.AF_INET, IPv4Address), (":", socket.AF_INET6, IPv6Address)):
        with suppress(OSError, ValueError):
            return address(socket.inet_pton(family, text.replace("-", separator)))
    return None


def _targets(places: Sequence[tuple[str, int]]) -> list[tuple[bytes, int]]:
    return [(_pod_name(ip), port) for ip, port in places]


def _labels(key: PortKey) -> list[bytes]:
    """`_port._tcp.service.namespace.svc`, as nginx makes it of `server service.namespace.svc service=port`."""
    port, protocol = f"_{key.port}".lower().encode(), f"_{key.protocol}".lower().encode()
    return [port, protocol, key.service.lower().encode(), key.namespace.lower().encode(), _SERVICES]


def _fields(key: PortKey) -> dict[str, str]:
    return {"namespace": key.namespace, "service": key.service, "port": key.port}
