"""The transport against a real HTTP server: what goes out, what comes back, and what each fault becomes."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.k8s.lease import Lease, LeaseMeta, LeaseSpec
from controller.model.errors import (
    ApiConflict,
    ApiForbidden,
    ApiRefused,
    ApiUnavailable,
    ApiUnreachable,
    HeadraceError,
    ResourceExpired,
    UsageError,
)
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.sources import answers, credentials
from controller.sources import transport as module
from controller.sources.cluster import ClusterSource, read_all
from controller.sources.scope import Scope
from controller.sources.transport import connect
from controller.sources.writer import ApiWriter
from controller.state.events import Applied, Deleted, Event, Synced
from controller.tests.sources.apiserver import Reply, Request, api_server, authority
from controller.tests.sources.script import bookmark, document, line, page

IN_CLUSTER = "kubernetes.aio.config.incluster_config"
SCOPE = Scope(Kind.SECRET, "team", "type=kubernetes.io/tls", "a=b")


def always(reply: Reply) -> Callable[[Request], Reply]:
    return lambda _: reply


def status(code: int, message: str = "so it is", **headers: str) -> Reply:
    body = json.dumps({"kind": "Status", "code": code, "message": message}).encode()
    return Reply(code, body, {name.replace("_", "-"): value for name, value in headers.items()})


def kubeconfig(directory: Path, url: str, user: dict[str, Any] | None) -> str:
    path = directory / "kubeconfig"
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}] if user is not None else [],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


async def test_a_page_is_asked_for_with_its_selectors_and_comes_as_bytes() -> None:
    async with api_server(always(Reply(body=page(document("a"))))) as server:
        api = await connect(apiserver_host=server.url)
        assert await api.list_page(SCOPE, more="x y/=", limit=7) == page(document("a"))
        await api.close()
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/team/secrets")
    assert request.query == {
        "fieldSelector": "type=kubernetes.io/tls", "labelSelector": "a=b", "limit": "7", "continue": "x y/=",
    }  # fmt: skip
    assert request.headers["user-agent"].startswith("headrace/")
    assert "authorization" not in request.headers


async def test_lines_of_a_watch_come_whole_however_they_were_cut() -> None:
    big = line("ADDED", document("big", spec={"x": "y" * 3_000_000}))
    stream = line("ADDED", document("a")) + b"\n" + bookmark("5") + b"\n\n" + big + b"\nunfinished"
    pieces = [stream[:9], stream[9:200], *(stream[i : i + 400_000] for i in range(200, len(stream), 400_000))]
    async with api_server(always(Reply(pieces=pieces))) as server:
        api = await connect(apiserver_host=server.url)
        async with api.watch(SCOPE, "17", 250) as lines:
            found = [text async for text in lines]
        await api.close()
    assert found == [line("ADDED", document("a")), bookmark("5"), big]
    query = server.requests[0].query
    assert query["watch"] == query["allowWatchBookmarks"] == "true"
    assert (query["resourceVersion"], query["timeoutSeconds"]) == ("17", "250")


async def test_an_event_arrives_before_the_next_one_is_there() -> None:
    pieces = [line("ADDED", document("a")) + b"\n", line("ADDED", document("b")) + b"\n"]
    async with api_server(always(Reply(pieces=pieces, pause=0.3))) as server:
        api = await connect(apiserver_host=server.url)
        async with api.watch(SCOPE, "1", 250) as lines:
            begun = time.monotonic()
            await anext(lines)
            assert time.monotonic() - begun < 0.25
        await api.close()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (status(403), ApiForbidden),
        (status(409), ApiConflict),
        (status(410), ResourceExpired),
        (status(422), ApiRefused),
        (status(404), ApiRefused),
        (status(401), ApiUnavailable),
        (status(429), ApiUnavailable),
        (status(500), ApiUnavailable),
        (Reply(502, b"<html>Bad Gateway"), ApiUnavailable),
    ],
)
async def test_every_refusal_has_its_error(reply: Reply, error: type[HeadraceError]) -> None:
    async with api_server(always(reply)) as server:
        api = await connect(apiserver_host=server.url)
        with pytest.raises(error, match=str(reply.status)):
            await api.list_page(SCOPE)
        with pytest.raises(error):
            async with api.watch(SCOPE, "1", 250):
                pass
        await api.close()


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
async def test_retry_after_is_passed_on(text: str, seconds: float | None) -> None:
    async with api_server(always(status(429, Retry_After=text))) as server:
        api = await connect(apiserver_host=server.url)
        with pytest.raises(ApiUnavailable) as caught:
            await api.list_page(SCOPE)
        await api.close()
    assert caught.value.retry_after == seconds


async def test_nobody_there() -> None:
    api = await connect(apiserver_host="http://127.0.0.1:1")
    with pytest.raises(ApiUnreachable):
        await api.list_page(SCOPE)
    await api.close()


async def test_a_watch_that_breaks_tells_what_came_first() -> None:
    reply = Reply(pieces=[line("ADDED", document("a")) + b"\n"], cut=True)
    async with api_server(always(reply)) as server:
        api = await connect(apiserver_host=server.url)
        found: list[bytes] = []
        with pytest.raises(ApiUnavailable):
            async with api.watch(SCOPE, "1", 250) as lines:
                async for text in lines:
                    found.append(text)
        await api.close()
    assert found == [line("ADDED", document("a"))]


async def test_a_watch_that_falls_silent_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.2)
    async with api_server(always(Reply(pieces=[bookmark("5") + b"\n", b"\n"], pause=1.0))) as server:
        api = await connect(apiserver_host=server.url)
        begun = time.monotonic()
        async with api.watch(SCOPE, "1", 250) as lines:
            assert [text async for text in lines] == [bookmark("5")]
        assert time.monotonic() - begun < 0.9
        await api.close()


async def test_a_watch_that_is_not_answered_is_given_up_as_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_TIMEOUT", 0.1)

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    api = await connect(apiserver_host=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(ApiUnavailable):
        async with asyncio.timeout(2), api.watch(SCOPE, "1", 250):
            pass
    await api.close()
    server.close()


async def test_a_list_that_trickles_is_waited_for_as_long_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_TIMEOUT", 0.5)
    async with api_server(always(Reply(pieces=[b"[", b"1", b",", b"2", b"]"], pause=0.2))) as server:
        api = await connect(apiserver_host=server.url)
        assert await api.list_page(SCOPE) == b"[1,2]"
        await api.close()


async def test_a_list_that_stops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_TIMEOUT", 0.1)
    async with api_server(always(Reply(pieces=[b"[", b"]"], pause=0.5))) as server:
        api = await connect(apiserver_host=server.url)
        with pytest.raises(ApiUnavailable):
            await api.list_page(SCOPE)
        await api.close()


async def test_a_line_without_end_is_given_up_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LONGEST_LINE", 1000)
    reply = Reply(pieces=[bookmark("5") + b"\n", *[b"x" * 600] * 3])
    async with api_server(always(reply)) as server:
        api = await connect(apiserver_host=server.url)
        found: list[bytes] = []
        with pytest.raises(ApiUnavailable, match="no end"):
            async with api.watch(SCOPE, "1", 250) as lines:
                async for text in lines:
                    found.append(text)
        await api.close()
    assert found == [bookmark("5")]


async def test_of_a_refusal_no_more_is_read_than_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ERROR_BODY", 1000)
    replies = [Reply(503, pieces=[b"x" * 1000] * 50, pause=0.05), Reply(body=b"good")]
    async with api_server(lambda _: replies.pop(0)) as server:
        api = await connect(apiserver_host=server.url)
        with pytest.raises(ApiUnavailable, match="xxx"):
            async with asyncio.timeout(1):
                await api.list_page(SCOPE)
        assert await api.list_page(SCOPE) == b"good", "over a connection that has nothing of it left"
        await api.close()


# -- who we are


async def test_a_token_of_the_kubeconfig(tmp_path: Path) -> None:
    async with api_server(always(Reply())) as server:
        api = await connect(kubeconfig(tmp_path, server.url, {"token": "abc"}))
        await api.list_page(SCOPE)
        await api.close()
    assert server.requests[0].headers["authorization"] == "Bearer abc"


async def test_a_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "CREDENTIALS_AGE", 0.0)
    token = tmp_path / "token"
    token.write_text("one\n")
    async with api_server(always(Reply())) as server:
        api = await connect(kubeconfig(tmp_path, server.url, {"tokenFile": str(token)}))
        await api.list_page(SCOPE)
        token.write_text("two\n")
        await api.list_page(SCOPE)
        await api.close()
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer one", "Bearer two"]


def plugin(directory: Path, token: str) -> dict[str, Any]:
    """An exec plugin whose tokens are numbered: each run gives the next one."""
    script, runs = directory / "plugin", directory / "runs"
    version = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": f"{token}-$N"}}
    answer = json.dumps(credential).replace('"', '\\"')
    script.write_text(f'#!/bin/sh\necho x >> {runs}\nN=$(wc -l < {runs})\necho "{answer}"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": version, "command": str(script), "interactiveMode": "Never"}}


async def test_an_exec_plugin_is_asked_again_when_the_server_says_no(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        return Reply() if request.headers["authorization"] == "Bearer t-2" else status(401)

    async with api_server(answer) as server:
        api = await connect(kubeconfig(tmp_path, server.url, plugin(tmp_path, "t")))
        await asyncio.gather(*(api.list_page(SCOPE) for _ in range(5)))
        await api.list_page(SCOPE)
        await api.close()
    assert (tmp_path / "runs").read_text() == "x\nx\n"


async def test_an_exec_plugin_that_fails_is_a_wrong_flag(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false"}}
    with pytest.raises(UsageError, match="exec plugin"):
        await connect(kubeconfig(tmp_path, "http://127.0.0.1:1", user))


@pytest.mark.parametrize("content", [None, "", "[]", "a: b", "{", "current-context: x\ncontexts: []\nclusters: []"])
async def test_a_kubeconfig_that_cannot_be_used_is_a_wrong_flag(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match="kubeconfig"):
        await connect(str(path))


async def test_a_kubeconfig_without_user_is_a_wrong_flag_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kubeconfig"):
        await connect(kubeconfig(tmp_path, "https://127.0.0.1:1", None))


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], Path]:
    """Makes this process look like one in a pod of the cluster at a URL; returns its token file."""

    def enter(url: str, certificate: Path) -> Path:
        host, _, port = url.removeprefix("https://").partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        token = tmp_path / "token"
        token.write_text("one\n")
        monkeypatch.setattr(f"{IN_CLUSTER}.SERVICE_TOKEN_FILENAME", str(token))
        monkeypatch.setattr(f"{IN_CLUSTER}.SERVICE_CERT_FILENAME", str(certificate))
        return token

    return enter


async def test_in_a_pod_the_token_is_followed_as_it_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pod: Callable[[str, Path], Path]
) -> None:
    certificate, tls = authority(tmp_path)
    async with api_server(always(Reply()), tls) as server:
        token = pod(server.url, certificate)
        api = await connect()
        await api.list_page(SCOPE)
        token.write_text("two\n")
        await api.list_page(SCOPE)
        monkeypatch.setattr(credentials, "CREDENTIALS_AGE", 0.0)
        await api.list_page(SCOPE)
        await api.close()
    said = [request.headers["authorization"].lower() for request in server.requests]
    assert said == ["bearer one", "bearer one", "bearer two"]


async def test_in_a_pod_a_token_that_is_refused_is_read_again_at_once(
    tmp_path: Path, pod: Callable[[str, Path], Path]
) -> None:
    def answer(request: Request) -> Reply:
        return Reply() if request.headers["authorization"].endswith("two") else status(401)

    certificate, tls = authority(tmp_path)
    async with api_server(answer, tls) as server:
        token = pod(server.url, certificate)
        api = await connect()
        token.write_text("two")
        await api.list_page(SCOPE)
        await api.close()
    assert len(server.requests) == 2


async def test_in_a_pod_another_authority_is_followed(tmp_path: Path, pod: Callable[[str, Path], Path]) -> None:
    """As when the certificates of a cluster are renewed: the file of the authority changes, the process runs on."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, _ = authority(tmp_path / "old")
    new, tls = authority(tmp_path / "new")
    async with api_server(always(Reply()), tls) as server:
        pod(server.url, old)
        api = await connect()
        with pytest.raises(ApiUnreachable):
            await api.list_page(SCOPE)
        old.write_bytes(new.read_bytes()[:100])
        with pytest.raises(ApiUnavailable):
            await api.list_page(SCOPE)
        old.write_bytes(new.read_bytes())
        await asyncio.gather(*(api.list_page(SCOPE) for _ in range(5)))
        await api.close()


async def test_requests_under_way_survive_another_authority(tmp_path: Path, pod: Callable[[str, Path], Path]) -> None:
    """Each of many requests may find out first, while others still wait for their connections."""
    certificate, tls = authority(tmp_path)
    content = certificate.read_bytes()
    async with api_server(always(Reply(pieces=[b"{", b"}"], pause=0.2)), tls) as server:
        pod(server.url, certificate)
        api = await connect()
        asked = [asyncio.create_task(api.list_page(SCOPE)) for _ in range(20)]
        for number in range(20):
            await asyncio.sleep(0.005)
            certificate.write_bytes(content + b"\n" * number)
            await api._reopened()
        assert await asyncio.gather(*asked) == [b"{}"] * 20
        await api.close()


async def test_a_stranger_with_another_certificate_gets_no_token(
    tmp_path: Path, pod: Callable[[str, Path], Path]
) -> None:
    (tmp_path / "other").mkdir()
    _, tls = authority(tmp_path)
    certificate, _ = authority(tmp_path / "other")
    async with api_server(always(Reply()), tls) as server:
        pod(server.url, certificate)
        api = await connect()
        with pytest.raises(ApiUnavailable, match=r"(?i)certificate"):
            await api.list_page(SCOPE)
        await api.close()
    assert server.requests == []


async def test_outside_of_a_cluster_the_flags_are_named() -> None:
    assert "KUBERNETES_SERVICE_HOST" not in os.environ
    with pytest.raises(UsageError, match="--kubeconfig FILE, or --manifests DIR"):
        await connect()


async def test_the_host_of_the_flag_wins(tmp_path: Path) -> None:
    async with api_server(always(Reply())) as server:
        path = kubeconfig(tmp_path, "http://127.0.0.1:1", {"token": "abc"})
        api = await connect(path, apiserver_host=server.url + "/")
        await api.list_page(SCOPE)
        await api.close()
    assert server.requests[0].headers["authorization"] == "Bearer abc"


# -- writes


async def test_the_status_of_an_ingress_is_patched() -> None:
    async with api_server(always(Reply())) as server:
        api = await connect(apiserver_host=server.url)
        await ApiWriter(api).patch_ingress_status("team", "a", [{"ip": "192.0.2.1"}])
        await ApiWriter(api).patch_ingress_status("team", "a", [])
        await api.close()
    full, empty = server.requests
    assert (full.method, full.path) == ("PATCH", "/apis/networking.k8s.io/v1/namespaces/team/ingresses/a/status")
    assert full.headers["content-type"] == "application/merge-patch+json"
    assert full.json == {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    assert empty.json == {"status": {"loadBalancer": {"ingress": None}}}


async def test_a_lease_is_read_made_and_replaced() -> None:
    def answer(request: Request) -> Reply:
        return status(404) if request.method == "GET" else Reply(body=request.body)

    lease = Lease(LeaseMeta("leader", "hr", "5"), LeaseSpec("me", 30, "t0", "t1", 2))
    async with api_server(answer) as server:
        api = await connect(apiserver_host=server.url)
        assert await ApiWriter(api).get_lease("hr", "leader") is None
        assert await ApiWriter(api).create_lease(lease) == lease
        assert await ApiWriter(api).replace_lease(lease) == lease
        await api.close()
    assert [(request.method, request.path.rpartition("/v1/")[2]) for request in server.requests] == [
        ("GET", "namespaces/hr/leases/leader"), ("POST", "namespaces/hr/leases"),
        ("PUT", "namespaces/hr/leases/leader"),
    ]  # fmt: skip
    assert server.requests[2].json["metadata"] == {"name": "leader", "namespace": "hr", "resourceVersion": "5"}
    assert server.requests[2].json["spec"]["leaseDurationSeconds"] == 30


async def test_pods_come_from_all_pages() -> None:
    def answer(request: Request) -> Reply:
        if "continue" in request.query:
            return Reply(body=page(document("b")))
        return Reply(body=page(document("a"), more="x"))

    async with api_server(answer) as server:
        api = await connect(apiserver_host=server.url)
        pods = await ApiWriter(api).list_pods("hr", "app=headrace")
        await api.close()
    assert [pod.metadata.name for pod in pods] == ["a", "b"]


# -- all of it


class Cluster:
    """Lists with `objects`, then a watch that says one thing for Ingresses and stays silent for the rest."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: Request) -> Reply:
        plural, selector = request.path.rpartition("/")[2], request.query.get("fieldSelector", "")
        if "watch" in request.query:
            said = [line("DELETED", document("a", "11")) + b"\n"] if plural == "ingresses" else []
            return Reply(pieces=[*said, b"\n"], pause=3.0)
        self.asked.append((plural, selector))
        spec = {"tls": [{"hosts": ["a.test"], "secretName": "opaque"}, {"secretName": "pair"}]}
        found = {
            ("ingresses", ""): page(document("a", spec=spec)),
            ("secrets", "type=kubernetes.io/tls"): page(document("pair")),
            ("secrets", "metadata.name=opaque"): page(document("opaque")),
        }
        return Reply(body=found.get((plural, selector), page()))


async def test_a_cluster_is_read_and_followed_with_the_secrets_that_its_ingresses_name() -> None:
    cluster, told, seen = Cluster(), list[Event](), asyncio.Event()

    def emit(event: Event) -> None:
        told.append(event)
        if Synced(Kind.SECRET) in told and Deleted(ObjectKey(Kind.INGRESS, "team", "a")) in told:
            seen.set()

    async with api_server(cluster) as server:
        api = await connect(apiserver_host=server.url)
        source = ClusterSource(api, Options())
        task = asyncio.create_task(source.run(emit))
        async with asyncio.timeout(4):
            await seen.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
    secrets = [event.key.name for event in told if isinstance(event, Applied) and event.key.kind is Kind.SECRET]
    assert sorted(secrets) == ["opaque", "pair"]
    assert told.index(Synced(Kind.SECRET)) > max(i for i, e in enumerate(told) if isinstance(e, Applied))
    assert ("secrets", "") not in cluster.asked
    assert not any(plural in ("configmaps", "namespaces", "nodes", "pods") for plural, _ in cluster.asked)


async def test_everything_once(tmp_path: Path) -> None:
    cluster = Cluster()
    async with api_server(cluster) as server:
        events = await read_all(kubeconfig(tmp_path, server.url, {"token": "x"}), Options())
    names = [event.key.path for event in events if isinstance(event, Applied)]
    assert names == ["team/a", "team/pair", "team/opaque"]
