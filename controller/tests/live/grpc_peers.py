"""A gRPC server and client for tests, on the HTTP/2 of the package h2.

The protocol is https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; messages are plain text. Methods:
`/test.Echo/Say` answers what it was told; `/Tell` answers the headers it got; `/Fail` ends with status 5; `/Count`
sends as many messages as asked for, 50 ms apart; `/Join` answers all messages at the end; `/Chat` answers each at once;
`/Hang` never answers.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from controller.tests.live.authorities import client_context
from controller.tests.live.backends import handshake_of

Headers = dict[str, str]


def message(text: str) -> bytes:
    """One message: not compressed, its length, its bytes."""
    return b"\0" + struct.pack("!I", len(text)) + text.encode()


def messages(data: bytes) -> tuple[list[str], bytes]:
    """The whole messages, and what is left."""
    found = []
    while len(data) >= 5 and len(data) >= 5 + (size := struct.unpack("!I", data[1:5])[0]):
        found.append(data[5 : 5 + size].decode())
        data = data[5 + size :]
    return found, data


class GrpcServer:
    """Serves in a thread of its own. Use as a context manager."""

    host = "127.0.0.1"

    def __init__(self, name: str, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.name = name
        self.port = port
        self.calls: list[Headers] = []
        self.connections = 0
        self._tls = tls
        if tls:
            tls.set_alpn_protocols(["h2"])

    def __enter__(self) -> GrpcServer:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        try:
            await _ServerConnection(self, reader, writer).run()
        except (OSError, asyncio.CancelledError, ProtocolError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


@dataclass
class _Call:
    headers: Headers
    received: bytes = b""
    texts: list[str] = field(default_factory=list)


class _ServerConnection:
    def __init__(self, server: GrpcServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._calls: dict[int, _Call] = {}
        self._counting: set[asyncio.Task[None]] = set()
        self._outgoing: dict[int, bytearray] = {}
        self._trailers: dict[int, list[tuple[str, str]]] = {}

    async def run(self) -> None:
        self._h2.initiate_connection()
        self._flush()
        while data := await self._reader.read(65_536):
            for event in self._h2.receive_data(data):
                self._take(event)
            self._flush()

    def _take(self, event: object) -> None:
        if isinstance(event, RequestReceived):
            headers = {str(k): str(v) for k, v in event.headers}
            self._server.calls.append(headers)
            self._calls[event.stream_id] = _Call(headers)
        elif isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self._data(event.stream_id, event.data)
        elif isinstance(event, StreamEnded):
            self._ended(event.stream_id)

    def _data(self, stream: int, data: bytes) -> None:
        call = self._calls[stream]
        found, call.received = messages(call.received + data)
        call.texts += found
        if call.headers[":path"].endswith("/Chat"):
            if len(call.texts) == len(found):
                self._begin(stream)
            for text in found:
                self._send(stream, f"{self._server.name}: {text}")

    def _ended(self, stream: int) -> None:
        call = self._calls[stream]
        match call.headers[":path"].rpartition("/")[2]:
            case "Say":
                self._answer(stream, f"{self._server.name}: {call.texts[0] if call.texts else ''}")
            case "Tell":
                self._answer(stream, json.dumps({**call.headers, **handshake_of(self._writer)}))
            case "Join":
                self._answer(stream, "+".join(call.texts))
            case "Fail":
                self._begin(stream)
                self._end(stream, 5, "not here")
            case "Count":
                task = asyncio.ensure_future(self._count(stream, int(call.texts[0])))
                self._counting.add(task)
                task.add_done_callback(self._counting.discard)
            case "Chat":
                self._end(stream, 0)
            case "Hang":
                pass
            case _:
                self._end_at_once(stream, 12, "unknown")

    async def _count(self, stream: int, number: int) -> None:
        self._begin(stream)
        for turn in range(number):
            self._send(stream, str(turn))
            self._flush()
            await asyncio.sleep(0.05)
        self._end(stream, 0)
        self._flush()

    def _answer(self, stream: int, text: str) -> None:
        self._begin(stream)
        self._send(stream, text)
        self._end(stream, 0)

    def _begin(self, stream: int) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("x-accel-redirect", "/internal")]
        self._h2.send_headers(stream, headers)

    def _end(self, stream: int, status: int, text: str = "") -> None:
        self._trailers[stream] = [("grpc-status", str(status)), *([("grpc-message", text)] if text else [])]

    def _send(self, stream: int, text: str) -> None:
        self._outgoing.setdefault(stream, bytearray()).extend(message(text))

    def _end_at_once(self, stream: int, status: int, text: str) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", str(status))]
        self._h2.send_headers(stream, [*headers, ("grpc-message", text)], end_stream=True)

    def _flush(self) -> None:
        """What the windows of the other side allow; the rest follows when it opens them."""
        for stream, data in self._outgoing.items():
            while data and (room := min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)):
                self._h2.send_data(stream, bytes(data[:room]))
                del data[:room]
        for stream in [stream for stream in self._trailers if not self._outgoing.get(stream)]:
            self._h2.send_headers(stream, self._trailers.pop(stream), end_stream=True)
            self._outgoing.pop(stream, None)
        self._writer.write(self._h2.data_to_send())


@dataclass
class GrpcAnswer:
    """`status` is that of HTTP, `grpc` that of gRPC (None where there was none). `times`: of the messages, in s."""

    status: int = 0
    headers: Headers = field(default_factory=dict)
    trailers: Headers = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    body: bytes = b""
    reset: bool = False

    @property
    def grpc(self) -> int | None:
        found = self.trailers.get("grpc-status", self.headers.get("grpc-status"))
        return int(found) if found is not None else None


class GrpcCall:
    """One call on a connection of its own. `send` and `read` may be mixed. Use as a context manager."""

    def __init__(
        self,
        port: int,
        authority: str,
        path: str,
        *,
        tls: bool = True,
        headers: Headers | None = None,
        context: ssl.SSLContext | None = None,
        sni: str = "",
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        if tls:
            context = context or client_context()
            context.set_alpn_protocols(["h2"])
            self._socket = context.wrap_socket(self._socket, server_hostname=sni or authority)
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self.answer = GrpcAnswer()
        self._ended = False
        every = {":method": "POST", ":scheme": "https" if tls else "http", ":path": path, ":authority": authority}
        every |= {"te": "trailers", "content-type": "application/grpc", "user-agent": "test", **(headers or {})}
        self._h2.send_headers(1, list(every.items()))
        self._flush()

    def __enter__(self) -> GrpcCall:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *texts: str, end: bool = False) -> None:
        for text in texts:
            data = message(text)
            while data:
                room = min(self._h2.local_flow_control_window(1), self._h2.max_outbound_frame_size)
                if not room:
                    self._receive()
                    continue
                self._h2.send_data(1, data[:room])
                data = data[room:]
                self._flush()
        if end:
            self._h2.end_stream(1)
        self._flush()

    def read(self, number: int) -> list[str]:
        """Waits for that many messages, or the end."""
        while len(self.answer.texts) < number and not self._ended:
            self._receive()
        return self.answer.texts

    def finish(self) -> GrpcAnswer:
        while not self._ended:
            self._receive()
        return self.answer

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            self._ended = True
            return
        for event in self._h2.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: object) -> None:
        if isinstance(event, ResponseReceived):
            self.answer.headers = {str(k): str(v) for k, v in event.headers}
            self.answer.status = int(self.answer.headers[":status"])
        elif isinstance(event, TrailersReceived):
            self.answer.trailers = {str(k): str(v) for k, v in event.headers}
        elif isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.answer.body += event.data
            if self.answer.headers.get("content-type") == "application/grpc":
                found, self.answer.body = messages(self.answer.body)
                self.answer.texts += found
        elif isinstance(event, StreamReset):
            self.answer.reset = self._ended = True
        elif isinstance(event, StreamEnded | ConnectionTerminated):
            self._ended = True

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())


def call(port: int, authority: str, path: str, *texts: str, tls: bool = True, **options: Headers) -> GrpcAnswer:
    """All messages at once, then the whole answer."""
    with GrpcCall(port, authority, path, tls=tls, **options) as going:  # type: ignore[arg-type]
        going.send(*texts, end=True)
        return going.finish()
