"""TCP and UDP services and TLS that is passed through, on pods: from a port of the node to a pod and back."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from controller.tests.live.objects import Object, ingress, key_pair
from e2e.cluster.apps import RESTRICTED, App, apply, end_namespace, fresh_namespace
from e2e.cluster.ask import until
from e2e.cluster.fixtures import CLASS
from e2e.cluster.provider import Cluster
from e2e.cluster.release import HOST_PORT, Release, Shared

NAMESPACE = "e2e-stream"
PASS = "pass.test"
TCP_PORT, UDP_PORT, PROXY_PORT = 9100, 9153, 9101
SPEC = HOST_PORT.with_(
    f"tcp.{TCP_PORT}={NAMESPACE}/line:7000",
    f"tcp.{PROXY_PORT}={NAMESPACE}/line:7000::PROXY",
    f"udp.{UDP_PORT}={NAMESPACE}/line:53",
    "controller.extraArgs.enable-ssl-passthrough=true",
)

POD = """
import asyncio, os, socket, ssl, tempfile

NAME = socket.gethostname()


async def line(reader, writer):
    try:
        while said := await reader.readline():
            writer.write(f"{NAME} ".encode() + said)
            await writer.drain()
    except OSError:
        pass
    writer.close()


class Packets(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(f"{NAME} ".encode() + data, addr)


def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(os.environ["PAIR"].encode())
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


async def main():
    await asyncio.start_server(line, port=7000)
    await asyncio.start_server(line, port=8443, ssl=tls())
    await asyncio.get_running_loop().create_datagram_endpoint(Packets, local_addr=("0.0.0.0", 5353))
    await asyncio.Event().wait()


asyncio.run(main())
"""
"""Answers each line over TCP and TLS, and each packet, with the name of the pod and what it got."""


@dataclass(frozen=True)
class Line:
    """The application and the certificate of its pods."""

    app: App
    certificate: bytes


@pytest.fixture(scope="module")
def line(cluster: Cluster) -> Iterator[Line]:
    certificate, key = key_pair(PASS)
    fresh_namespace(cluster, NAMESPACE)
    apply(cluster, NAMESPACE, *_objects(cluster, (certificate + key).decode()))
    yield Line(App(cluster, NAMESPACE, "line").ready(), certificate)
    end_namespace(cluster, NAMESPACE)


@pytest.fixture
def release(shared: Shared, line: Line) -> Release:
    return shared.get(SPEC)


def _objects(cluster: Cluster, pair: str) -> list[Object]:
    ports = [("line", 7000, 7000, "TCP"), ("tls", 443, 8443, "TCP"), ("packets", 53, 5353, "UDP")]
    container = {
        "name": "line",
        "image": cluster.images.app,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", POD],
        "env": [{"name": "PAIR", "value": pair}],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
        "securityContext": RESTRICTED,
    }
    labels = {"app": "line"}
    pod = {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": [container]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "line"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "line"},
        "spec": {
            "selector": labels,
            "ports": [
                {"name": name, "port": port, "targetPort": target, "protocol": protocol}
                for name, port, target, protocol in ports
            ],
        },
    }
    passed = ingress(
        "pass", (PASS, "/", "Prefix", "line", 443), annotations={"ssl-passthrough": "true"}, ingressClassName=CLASS
    )
    return [deployment, service, passed]


def say(release: Release, port: int, text: str, tls: str = "") -> str:
    """The first line that comes back; empty where the other side hangs up."""
    with socket.create_connection((release.site.address, port), timeout=5) as plain:
        connection = _context().wrap_socket(plain, server_hostname=tls) if tls else plain
        connection.sendall(f"{text}\n".encode())
        return connection.makefile().readline().strip()


def ask_udp(release: Release, text: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.sendto(text.encode(), (release.site.address, UDP_PORT))
        try:
            return client.recv(4096).decode()
        except TimeoutError:
            return ""


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def pod_at(release: Release, port: int, tls: str = "") -> str:
    """The name of the pod that answers; empty where none does."""
    return say(release, port, "x", tls).partition(" ")[0]


def pods_of(line: Line) -> set[str]:
    return {pod["metadata"]["name"] for pod in line.app.pods()}


def test_a_tcp_service_leads_to_pods(release: Release, line: Line) -> None:
    until(lambda: say(release, TCP_PORT, "hello").endswith(" hello"))
    until(lambda: {pod_at(release, TCP_PORT) for _ in range(8)} == pods_of(line))


def test_a_udp_service_leads_to_pods_and_back(release: Release, line: Line) -> None:
    until(lambda: ask_udp(release, "query").endswith(" query"))
    assert ask_udp(release, "query").partition(" ")[0] in pods_of(line)


def test_pods_that_ask_for_it_are_told_of_the_client(release: Release) -> None:
    until(lambda: " PROXY TCP4 " in say(release, PROXY_PORT, "x"))


def test_tls_is_ended_by_the_pods(release: Release, line: Line) -> None:
    until(lambda: say(release, 443, "hello", tls=PASS).endswith(" hello"))
    with (
        socket.create_connection((release.site.address, 443), timeout=5) as plain,
        _context().wrap_socket(plain, server_hostname=PASS) as tls,
    ):
        shown = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")
    assert shown.split() == line.certificate.decode().split()


def reloads(release: Release) -> list[float]:
    """Those that streams have caused: Ingresses of other tests come and go."""
    return [release.metric(pod, "headrace_reloads_total", 'reason="streams"') for pod in release.pod_names()]


def test_new_pods_are_found_without_a_reload(release: Release, line: Line) -> None:
    until(lambda: say(release, TCP_PORT, "x").endswith(" x"))
    before = reloads(release)
    line.app.restart()
    line.app.ready()
    until(lambda: {pod_at(release, TCP_PORT) for _ in range(8)} == pods_of(line))
    until(lambda: pod_at(release, 443, PASS) in pods_of(line))
    assert reloads(release) == before


def test_a_bad_entry_costs_no_other(release: Release) -> None:
    patch = json.dumps({"data": {"9102": "nowhere/nothing:1"}})
    release.kubectl("patch", "configmap", "headrace-tcp", "--patch", patch)
    until(lambda: "service-not-found" in release.logs())
    assert say(release, TCP_PORT, "x").endswith(" x")
    release.kubectl("patch", "configmap", "headrace-tcp", "--patch", json.dumps({"data": {"9102": None}}))
