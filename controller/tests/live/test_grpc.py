"""Calls of gRPC: messages both ways as they come, statuses, what pods are told, and pods that are gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from controller.tests.live.authorities import Authority, server_context
from controller.tests.live.conftest import Run
from controller.tests.live.grpc_peers import GrpcCall, GrpcServer, call
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, service, slice_at, slice_of
from controller.tests.live.protocols import AT_ONCE, Rude, app_at, host, timed
from controller.tests.ports import free_port


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        rude = Rude()
        stack.callback(rude.close)
        context = server_context(Authority("pods").issue("pod.test"))
        yield {
            "rude": rude,
            "grpc": stack.enter_context(GrpcServer("grpc")),
            "grpcs": stack.enter_context(GrpcServer("grpcs", context)),
        }


@pytest.fixture(scope="module")
def headrace(run: Run, peers: dict[str, Any]) -> Headrace:
    refused = ("127.0.0.1", free_port())
    objects: list[Object] = [
        *(document for name, peer in peers.items() for document in app_at(name, peer)),
        *app_at("half-grpc", peers["grpc"]),
        slice_at("half-grpc", refused, suffix="2"),
        service("gone-grpc"),
        slice_at("gone-grpc", refused),
        service("empty"),
        slice_of("empty"),
        host("grpcs-rude", "rude", backend_protocol="GRPCS"),
        host("grpc", "grpc", backend_protocol="GRPC"),
        host("grpc-lower", "grpc", backend_protocol="grpc"),
        host("grpcs", "grpcs", backend_protocol="GRPCS"),
        host("grpcs-lower", "grpcs", backend_protocol="grpcs"),
        host("grpc-vhost", "grpc", backend_protocol="GRPC", upstream_vhost="inner.test"),
        host("grpc-slow", "grpc", backend_protocol="GRPC", proxy_read_timeout="1"),
        host("grpc-large", "grpc", backend_protocol="GRPC", proxy_body_size="0"),
        host("grpc-half", "half-grpc", backend_protocol="GRPC"),
        host("grpc-gone", "gone-grpc", backend_protocol="GRPC"),
        host("grpc-empty", "empty", backend_protocol="GRPC"),
        host("grpcs-empty", "empty", backend_protocol="GRPCS"),
    ]
    return run(*objects)


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpc-lower", "grpcs", "grpcs-lower"])
def test_a_call(headrace: Headrace, name: str) -> None:
    answer = call(headrace.https, f"{name}.test", "/test.Echo/Say", "hello")
    assert (answer.status, answer.grpc, answer.texts) == (200, 0, [f"{name.removesuffix('-lower')}: hello"])
    assert answer.headers["content-type"] == "application/grpc"


@pytest.mark.shows("backend-protocol")
def test_a_call_without_tls(headrace: Headrace) -> None:
    answer = call(headrace.http, "grpc.test", "/test.Echo/Say", "hello", tls=False)
    assert (answer.status, answer.grpc, answer.texts) == (200, 0, ["grpc: hello"])


@pytest.mark.shows("backend-protocol")
def test_the_status_of_a_call_that_fails(headrace: Headrace) -> None:
    answer = call(headrace.https, "grpc.test", "/test.Echo/Fail", "x")
    assert (answer.status, answer.grpc, answer.trailers["grpc-message"]) == (200, 5, "not here")
    assert call(headrace.https, "grpc.test", "/test.Echo/NoSuchMethod", "x").grpc == 12


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpcs"])
def test_messages_of_the_server_come_as_they_are_sent(headrace: Headrace, name: str) -> None:
    with GrpcCall(headrace.https, f"{name}.test", "/test.Echo/Count") as going:
        going.send("10", end=True)
        assert going.read(1) == ["0"]
        first = time.monotonic()
        assert going.finish().texts == [str(number) for number in range(10)]
        assert time.monotonic() - first > 0.3
    assert going.answer.grpc == 0


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpcs"])
def test_messages_of_the_client_one_by_one(headrace: Headrace, name: str) -> None:
    with GrpcCall(headrace.https, f"{name}.test", "/test.Echo/Join") as going:
        for text in "abc":
            going.send(text)
            time.sleep(0.05)
        going.send("d", end=True)
        assert going.finish().texts == ["a+b+c+d"]


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpcs"])
def test_a_conversation(headrace: Headrace, name: str) -> None:
    with GrpcCall(headrace.https, f"{name}.test", "/test.Echo/Chat") as going:
        for number, text in enumerate(("one", "two", "x" * 30_000)):
            going.send(text)
            assert going.read(number + 1)[-1] == f"{name}: {text}"
        going.send(end=True)
        assert going.finish().grpc == 0


@pytest.mark.shows("backend-protocol")
def test_what_a_grpc_pod_is_told(headrace: Headrace) -> None:
    forged = {"x-forwarded-for": "1.2.3.4", "ssl-client-verify": "SUCCESS", "x-real-ip": "1.2.3.4", "my-data": "kept"}
    answer = call(headrace.https, "grpc.test", "/test.Echo/Tell", headers=forged)
    seen = json.loads(answer.texts[0])
    assert seen.get(":authority", seen.get("host")) == "grpc.test"
    assert (seen["te"], seen["my-data"], seen["content-type"]) == ("trailers", "kept", "application/grpc")
    assert (seen["x-forwarded-for"], seen["x-real-ip"]) == ("127.0.0.1", "127.0.0.1")
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "grpc.test")
    assert "ssl-client-verify" not in seen and "connection" not in seen and "upgrade" not in seen
    assert len(seen["x-request-id"]) == 32


@pytest.mark.shows("backend-protocol")
def test_a_grpcs_pod_hears_no_name_unless_asked_for(headrace: Headrace) -> None:
    answer = call(headrace.https, "grpcs.test", "/test.Echo/Tell")
    assert json.loads(answer.texts[0])["tls"]["sni"] is None


@pytest.mark.shows("backend-protocol", "upstream-vhost")
def test_the_host_that_a_grpc_pod_sees(headrace: Headrace) -> None:
    seen = json.loads(call(headrace.https, "grpc-vhost.test", "/test.Echo/Tell").texts[0])
    assert (seen.get(":authority", seen.get("host")), seen["x-forwarded-host"]) == ("inner.test", "grpc-vhost.test")


@pytest.mark.shows("backend-protocol", "proxy-read-timeout")
def test_a_grpc_pod_that_is_too_slow(headrace: Headrace) -> None:
    begun = time.monotonic()
    answer = call(headrace.https, "grpc-slow.test", "/test.Echo/Hang", "x")
    assert answer.status == 504 and 0.9 < time.monotonic() - begun < 2


@pytest.mark.shows("backend-protocol", "proxy-body-size")
def test_how_much_a_call_may_send(headrace: Headrace) -> None:
    large = ["y" * 400_000] * 4
    assert len(call(headrace.https, "grpc-large.test", "/test.Echo/Join", *large).texts[0]) == 1_600_003


@pytest.mark.shows("backend-protocol")
def test_connections_to_grpc_pods_are_shared(headrace: Headrace, peers: dict[str, Any]) -> None:
    before = peers["grpc"].connections
    for _ in range(10):
        assert call(headrace.https, "grpc.test", "/test.Echo/Say", "x").grpc == 0
    assert peers["grpc"].connections - before <= 3


@pytest.mark.shows("backend-protocol")
def test_a_grpc_pod_that_is_gone_is_passed_over(headrace: Headrace) -> None:
    answers = [call(headrace.https, "grpc-half.test", "/test.Echo/Say", "x") for _ in range(8)]
    assert {(answer.status, answer.grpc) for answer in answers} == {(200, 0)}


@pytest.mark.shows("backend-protocol")
def test_a_call_that_no_pod_can_take_fails_at_once(headrace: Headrace) -> None:
    """A client of gRPC takes it for UNAVAILABLE and may try again; we cannot, for we do not keep its messages."""
    begun = time.monotonic()
    answer = call(headrace.https, "grpc-gone.test", "/test.Echo/Join", "a", "b")
    assert answer.status == 502 and time.monotonic() - begun < AT_ONCE


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc-empty", "grpcs-empty"])
def test_a_call_to_a_service_without_pods(headrace: Headrace, name: str) -> None:
    begun = time.monotonic()
    assert call(headrace.https, f"{name}.test", "/test.Echo/Say", "x").status == 503
    assert time.monotonic() - begun < AT_ONCE


@pytest.mark.shows("backend-protocol")
def test_a_client_of_http_1_reaches_a_grpc_pod(headrace: Headrace) -> None:
    answer = headrace.get("http://grpc.test/test.Echo/Say", method="POST", body=b"\0\0\0\0\x02hi",
                          headers={"Content-Type": "application/grpc", "TE": "trailers"})  # fmt: skip
    assert answer.status == 200 and b"grpc: hi" in answer.body


@pytest.mark.shows("backend-protocol")
def test_headers_of_the_connection_do_not_reach_a_grpc_pod(headrace: Headrace) -> None:
    sent = {"Upgrade": "websocket", "Connection": "Upgrade", "Keep-Alive": "5", "TE": "trailers"}
    answer = headrace.get("http://grpc.test/test.Echo/Tell", method="POST", headers=sent)
    seen = json.loads(answer.body[5:])
    assert not {"upgrade", "connection", "keep-alive", "transfer-encoding"} & seen.keys()


@pytest.mark.shows("backend-protocol")
def test_a_pod_that_speaks_something_else_is_a_502(headrace: Headrace) -> None:
    took, answer = timed(headrace, "http://grpcs-rude.test/")
    assert answer.status == 502 and took < AT_ONCE
