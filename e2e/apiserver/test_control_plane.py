"""Proves that the control plane of these tests is a real one, and what tests may expect of it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.controlplane.backends import Backend, Backends
from e2e.controlplane.cluster import ControlPlane, ControlPlaneFailed, KubectlFailed, Manifest
from e2e.controlplane.network import PrivateNetwork

_POLL_SECONDS = 0.05
_SLICE_NAME_LABEL = "kubernetes.io/service-name"


def _object(kind: str, name: str, namespace: str, api: str = "v1", **rest: object) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def _ingress(namespace: str, **path: object) -> Manifest:
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    rule = {"host": "shop.example", "http": {"paths": [{"path": "/", "backend": backend, **path}]}}
    spec = {"ingressClassName": "headrace", "rules": [rule]}
    return _object("Ingress", "shop", namespace, "networking.k8s.io/v1", spec=spec)


def _slice(namespace: str, service: str, address: str) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-manual",
            "namespace": namespace,
            "labels": {_SLICE_NAME_LABEL: service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": [{"addresses": [address]}],
    }


def _service(namespace: str, name: str, **spec: object) -> Manifest:
    ports = [{"port": 80, "targetPort": 8080}]
    return _object("Service", name, namespace, spec={"ports": ports, **spec})


def _read(control_plane: ControlPlane, namespace: str, *what: str) -> Any:
    return json.loads(control_plane.kubectl("get", *what, f"--namespace={namespace}", "-o=json"))


def _slices(control_plane: ControlPlane, namespace: str, service: str) -> list[Any]:
    selector = f"--selector={_SLICE_NAME_LABEL}={service}"
    found: list[Any] = _read(control_plane, namespace, "endpointslices", selector)["items"]
    return found


def _eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(_POLL_SECONDS)


def _allow(control_plane: ControlPlane, namespace: str, account: str, resource: str) -> None:
    place = f"--namespace={namespace}"
    control_plane.kubectl("create", "role", "r", "--verb=list", f"--resource={resource}", place)
    subject = f"--serviceaccount={namespace}:{account}"
    control_plane.kubectl("create", "rolebinding", "b", "--role=r", subject, place)


def _list(control_plane: ControlPlane, kubeconfig: Path, resource: str, namespace: str) -> str:
    place = f"--namespace={namespace}"
    return control_plane.kubectl("get", resource, "-o=name", place, kubeconfig=kubeconfig)


def _watch_events(control_plane: ControlPlane, namespace: str, version: str) -> list[Any]:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    query = f"watch=1&resourceVersion={version}&timeoutSeconds=1"
    lines = control_plane.kubectl("get", "--raw", f"{path}?{query}").splitlines()
    return [json.loads(line) for line in lines]


def _config_map_version(control_plane: ControlPlane, namespace: str, name: str) -> str:
    control_plane.apply(_object("ConfigMap", name, namespace))
    version: str = _read(control_plane, namespace, "configmap", name)["metadata"]["resourceVersion"]
    return version


def test_an_applied_object_is_read_back_with_what_the_server_adds(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.apply(_ingress(namespace, pathType="Prefix"))
    ingress = _read(control_plane, namespace, "ingress", "shop")
    assert ingress["spec"]["rules"][0]["host"] == "shop.example"
    assert ingress["metadata"]["generation"] == 1
    assert ingress["metadata"]["uid"]


def test_the_server_validates(control_plane: ControlPlane, namespace: str) -> None:
    with pytest.raises(KubectlFailed, match='pathType: Unsupported value: "Suffix"'):
        control_plane.apply(_ingress(namespace, pathType="Suffix"))


def test_rbac_denies_until_a_role_allows(control_plane: ControlPlane, namespace: str) -> None:
    account = control_plane.kubeconfig_for(namespace, "default")
    with pytest.raises(KubectlFailed, match="forbidden"):
        _list(control_plane, account, "ingresses", namespace)
    _allow(control_plane, namespace, "default", "ingresses.networking.k8s.io")
    control_plane.apply(_ingress(namespace, pathType="Prefix"))
    assert "shop" in _list(control_plane, account, "ingresses", namespace)
    with pytest.raises(KubectlFailed, match="forbidden"):
        _list(control_plane, account, "secrets", namespace)


def test_each_way_to_authenticate_gives_its_user(control_plane: ControlPlane, namespace: str) -> None:
    account = f"system:serviceaccount:{namespace}:default"
    users = {
        control_plane.kubeconfig_for(namespace, "default"): account,
        control_plane.exec_kubeconfig_for(namespace, "default"): account,
        control_plane.client_kubeconfig("system:somebody", ["some-group"]): "system:somebody",
    }
    for kubeconfig, user in users.items():
        answer = control_plane.kubectl("auth", "whoami", "-o=json", kubeconfig=kubeconfig)
        assert json.loads(answer)["status"]["userInfo"]["username"] == user


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_objects_and_tokens_outlive_a_restart_of_the_api_server(
    control_plane: ControlPlane, namespace: str, kill: bool
) -> None:
    _allow(control_plane, namespace, "default", "configmaps")
    account = control_plane.kubeconfig_for(namespace, "default")
    control_plane.apply(_object("ConfigMap", "kept", namespace, data={"a": "b"}))
    before = _read(control_plane, namespace, "configmap", "kept")

    control_plane.stop_apiserver(kill=kill)
    try:
        with pytest.raises(KubectlFailed, match="refused"):
            _read(control_plane, namespace, "configmap", "kept")
    finally:
        control_plane.start_apiserver()

    assert _read(control_plane, namespace, "configmap", "kept") == before
    assert "kept" in _list(control_plane, account, "configmaps", namespace)


def test_a_watch_from_before_a_restart_ends_with_410(control_plane: ControlPlane, namespace: str) -> None:
    old = _config_map_version(control_plane, namespace, "before")
    _config_map_version(control_plane, namespace, "after")
    assert [event["type"] for event in _watch_events(control_plane, namespace, old)] == ["ADDED"]

    control_plane.stop_apiserver()
    control_plane.start_apiserver()

    (event,) = _watch_events(control_plane, namespace, "1")
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


@pytest.mark.usefixtures("network")
def test_without_a_watch_cache_compaction_ends_a_watch_with_410(tmp_path: Path) -> None:
    flags = ["--watch-cache=false"]
    with ControlPlane(tmp_path, etcd_compaction_interval="1s", apiserver_flags=flags) as own:
        old = _config_map_version(own, "default", "before")

        def gone() -> bool:  # each turn writes, for compaction spares the latest versions
            _config_map_version(own, "default", f"after-{time.monotonic_ns()}")
            events = _watch_events(own, "default", old)
            return [event["object"].get("code") for event in events] == [410]

        _eventually(gone)


def test_the_endpointslice_controller_follows_a_selector(
    control_plane: ControlPlane, network: PrivateNetwork, namespace: str
) -> None:
    address = network.new_address()
    control_plane.add_node(f"of-{namespace}", network.new_address())  # it skips pods without node
    spec = {"containers": [{"name": "c", "image": "never-pulled"}], "nodeName": f"of-{namespace}"}
    metadata = {"name": "shop", "namespace": namespace, "labels": {"app": "shop"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    control_plane.apply(_service(namespace, "shop", selector={"app": "shop"}), pod)
    ready = {"type": "Ready", "status": "True"}
    status = {"phase": "Running", "podIPs": [{"ip": address}], "podIP": address}
    patch = json.dumps({"status": {**status, "conditions": [ready]}})
    place = f"--namespace={namespace}"
    control_plane.kubectl("patch", "pod", "shop", "--subresource=status", f"--patch={patch}", place)

    def followed() -> bool:
        slices = _slices(control_plane, namespace, "shop")
        endpoints = [each for found in slices for each in found["endpoints"] or []]
        return [(each["addresses"], each["conditions"]["ready"]) for each in endpoints] == [([address], True)]

    _eventually(followed)


def test_a_service_without_selector_has_the_slices_that_one_writes(
    control_plane: ControlPlane, backends: Backends, namespace: str
) -> None:
    address = backends.start("one").address
    control_plane.apply(_service(namespace, "shop"), _slice(namespace, "shop", address))
    (found,) = _slices(control_plane, namespace, "shop")
    assert found["endpoints"][0]["addresses"] == [address]
    with pytest.raises(KubectlFailed, match=r"127\.0\.0\.0/8"):
        control_plane.apply(_slice(namespace, "other", "127.0.0.1"))


def test_owned_objects_are_collected(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.apply(_object("ConfigMap", "owner", namespace))
    owner = _read(control_plane, namespace, "configmap", "owner")["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    metadata = {"name": "owned", "namespace": namespace, "ownerReferences": [reference]}
    control_plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    place = f"--namespace={namespace}"
    control_plane.kubectl("delete", "configmap", "owner", place)
    control_plane.kubectl("wait", "--for=delete", "configmap/owned", place, "--timeout=30s")


def test_a_node_has_the_addresses_it_was_given(control_plane: ControlPlane) -> None:
    control_plane.add_node("edge", "10.231.255.1", external_ip="203.0.113.7")
    try:
        addresses = _read(control_plane, "", "node", "edge")["status"]["addresses"]
        assert {each["type"]: each["address"] for each in addresses} == {
            "InternalIP": "10.231.255.1",
            "ExternalIP": "203.0.113.7",
        }
    finally:
        control_plane.kubectl("delete", "node", "edge")


@pytest.mark.usefixtures("network")
def test_a_failed_start_tells_why_and_leaves_no_process(tmp_path: Path) -> None:
    refused = ControlPlane(tmp_path, apiserver_flags=["--no-such-flag"])
    with pytest.raises(ControlPlaneFailed, match="unknown flag: --no-such-flag"), refused:
        pass
    assert refused.pids() == {}


def _connection(backend: Backend) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(backend.address, backend.port, timeout=5)


def _ask(connection: http.client.HTTPConnection, method: str = "GET", **more: Any) -> Any:
    connection.request(method, "/a/b?c=d", **more)
    return json.load(connection.getresponse())


def test_a_backend_tells_what_it_received_over_one_connection(backends: Backends) -> None:
    connection = _connection(backends.start("one"))
    first = _ask(connection, "POST", body=b"12345", headers={"X-Trace": "7"})
    assert (first["name"], first["method"], first["path"]) == ("one", "POST", "/a/b")
    assert (first["target"], first["body_length"]) == ("/a/b?c=d", 5)
    assert ["X-Trace", "7"] in first["headers"]
    socket_before = connection.sock
    second = _ask(connection, "PUT", body=iter([b"123", b"4567"]), encode_chunked=True)
    assert second["body_length"] == 7
    assert connection.sock is socket_before
    connection.close()


def test_a_killed_backend_refuses_until_it_is_started_again(backends: Backends) -> None:
    backend, other = backends.start("one"), backends.start("two")
    assert backend.address != other.address
    backend.kill()
    with pytest.raises(ConnectionRefusedError):
        _ask(_connection(backend))
    assert _ask(_connection(other))["name"] == "two"
    backend.start()
    assert _ask(_connection(backend))["name"] == "one"


def test_a_stopped_backend_closes_idle_connections(backends: Backends) -> None:
    backend = backends.start("one")
    connection = _connection(backend)
    _ask(connection)
    backend.stop()
    assert not backend.running
    assert connection.sock.recv(1) == b""
    connection.close()
