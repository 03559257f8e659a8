"""Pods that speak no HTTP, for TCP and UDP services: each answers with its name and with what it was told.

A TCP peer answers each line with `name line`; a PROXY protocol header counts as a line. A UDP peer answers each
packet with as many packets `name packet` as it is told to.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from controller.tests.live.objects import Object


@dataclass
class Peer:
    """One server. `clients` are the addresses that came to it."""

    name: str
    host: str
    port: int
    clients: list[tuple[str, int]] = field(default_factory=list)
    close: Any = None


class Peers:
    """Runs peers in one thread. Use as a context manager."""

    def __enter__(self) -> Peers:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._all: list[Peer] = []
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self._all:
            self._loop.call_soon_threadsafe(peer.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def tcp(self, name: str, host: str = "127.0.0.1", port: int = 0) -> Peer:
        return asyncio.run_coroutine_threadsafe(self._tcp(name, host, port), self._loop).result(5)

    def udp(self, name: str, host: str = "127.0.0.1", answers: int = 1) -> Peer:
        return asyncio.run_coroutine_threadsafe(self._udp(name, host, answers), self._loop).result(5)

    def stop(self, peer: Peer) -> None:
        self._all.remove(peer)
        self._loop.call_soon_threadsafe(peer.close)

    async def _tcp(self, name: str, host: str, port: int) -> Peer:
        peer = Peer(name, host, 0)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer.clients.append(writer.get_extra_info("peername")[:2])
            try:
                while line := await reader.readline():
                    writer.write(f"{name} ".encode() + line.rstrip() + b"\n")
                    await writer.drain()
            except OSError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, host, port)
        peer.port, peer.close = server.sockets[0].getsockname()[1], server.close
        self._all.append(peer)
        return peer

    async def _udp(self, name: str, host: str, answers: int) -> Peer:
        peer = Peer(name, host, 0)

        class Answering(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                peer.clients.append(addr)
                for number in range(answers):
                    suffix = f" {number}" if answers > 1 else ""
                    self.transport.sendto(f"{name} ".encode() + data + suffix.encode(), addr)  # type: ignore[attr-defined]

        transport, _ = await self._loop.create_datagram_endpoint(Answering, local_addr=(host, 0))
        peer.port, peer.close = transport.get_extra_info("sockname")[1], transport.close
        self._all.append(peer)
        return peer


def say(port: int, *lines: str, first: bytes = b"", source: str = "127.0.0.1", timeout: float = 5) -> list[str]:
    """Sends lines to a TCP port and returns as many answers; fewer where the other side hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0)) as connection:
        connection.sendall(first + "".join(f"{line}\n" for line in lines).encode())
        expected, received = len(lines), b""
        try:
            while received.count(b"\n") < expected and (data := connection.recv(65_536)):
                received += data
        except ConnectionResetError:
            pass
        return received.decode().splitlines()


@contextmanager
def udp_client(port: int, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.bind((source, 0))
        client.connect(("127.0.0.1", port))
        yield client


def ask_udp(port: int, text: str, answers: int = 1) -> list[str]:
    """Sends one packet; returns the answers, or none where nobody answers or listens."""
    with udp_client(port) as client:
        try:
            client.send(text.encode())
            return [client.recv(65_536).decode() for _ in range(answers)]
        except (TimeoutError, ConnectionRefusedError):
            return []


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True


# -- objects


def entries(name: str, data: Mapping[Any, str]) -> Object:
    """A ConfigMap of TCP or UDP services."""
    written = {str(key): value for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": written,
    }


def plain_service(name: str, *ports: tuple[str, int, str], namespace: str = "default", **spec: Any) -> Object:
    """Each port is (name, number, protocol)."""
    listed = [{"name": n, "port": number, "protocol": protocol} for n, number, protocol in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": listed, **spec},
    }


def places(name: str, port: str, *peers: Peer, protocol: str = "TCP", namespace: str = "default") -> Object:
    """The EndpointSlice of a Service with one port."""
    return _slice(name, namespace, {peer.host for peer in peers}, (port, peers[0].port if peers else 9, protocol))


def places_of_both(name: str, tcp: Peer | None, udp: Peer | None) -> Object:
    """The EndpointSlice of a Service with the ports `line` (TCP) and `queries` (UDP) of the same pod."""
    ports = (("line", tcp.port if tcp else 9, "TCP"), ("queries", udp.port if udp else 9, "UDP"))
    return _slice(name, "default", {peer.host for peer in (tcp, udp) if peer}, *ports)


def _slice(name: str, namespace: str, hosts: set[str], *ports: tuple[str, int, str]) -> Object:
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}} for host in sorted(hosts)],
        "ports": [{"name": port, "port": number, "protocol": protocol} for port, number, protocol in ports],
    }
