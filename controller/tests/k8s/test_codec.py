"""Bytes and documents into structs: what is read, what is refused, and that nobody pays for another's mistake."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.k8s.codec import TYPES, decode_document, decode_object
from controller.k8s.core import ConfigMap, Pod, Secret, Service
from controller.k8s.endpointslice import EndpointSlice
from controller.k8s.ingress import Ingress
from controller.model.diagnostics import Effect
from controller.model.refs import Kind, ObjectKey


def raw(name: str = "a", namespace: str = "team", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": "7"}, **more}


def encoded(**more: Any) -> bytes:
    return json.dumps(raw(**more)).encode()


def test_an_ingress_as_the_api_server_writes_it() -> None:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec = {"ingressClassName": "nginx", "rules": [{"host": "a.test", "http": {"paths": paths}}]}
    found = decode_object(Kind.INGRESS, encoded(spec=spec, status={"loadBalancer": {}}))
    assert found.key == ObjectKey(Kind.INGRESS, "team", "a")
    assert found.version == "7"
    assert isinstance(found.object, Ingress)
    path = found.object.spec.rules[0].http
    assert path is not None
    assert path.paths[0].backend.service is not None
    assert path.paths[0].backend.service.port.number == 80


@pytest.mark.parametrize("nothing", [{"endpoints": None, "ports": None}, {"endpoints": [], "ports": []}, {}])
def test_an_endpoint_slice_without_endpoints(nothing: dict[str, Any]) -> None:
    found = decode_object(Kind.ENDPOINT_SLICE, encoded(addressType="IPv4", **nothing)).object
    assert isinstance(found, EndpointSlice)
    assert not found.endpoints


def test_nulls_count_as_absent_wherever_they_stand() -> None:
    document = raw(spec={"type": None, "ports": [{"port": 80, "name": None}, None]}, status=None)
    for found in (decode_object(Kind.SERVICE, json.dumps(document).encode()), decode_document(Kind.SERVICE, document)):
        assert isinstance(found.object, Service)
        assert [(port.port, port.name) for port in found.object.spec.ports] == [(80, "")]
        assert found.object.spec.type == "ClusterIP"


def test_a_wrong_type_names_its_field_and_its_owner() -> None:
    found = decode_object(Kind.SERVICE, encoded(spec={"ports": [{"port": "eighty"}]}))
    assert found.object is None
    assert found.finding is not None
    assert found.key == found.finding.object == ObjectKey(Kind.SERVICE, "team", "a")
    assert found.version == "7"
    assert str(found.finding.field) == "spec.ports[0].port"
    assert (found.finding.code, found.finding.effect) == ("object-unreadable", Effect.OBJECT_IGNORED)


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "good"),
    [
        (Kind.INGRESS, "web.example", "team", True),
        (Kind.INGRESS, "0", "team", True),
        (Kind.INGRESS, "../etc", "team", False),
        (Kind.INGRESS, "Web", "team", False),
        (Kind.INGRESS, "a\nb", "team", False),
        (Kind.INGRESS, "a..b", "team", False),
        (Kind.INGRESS, "web", "te/am", False),
        (Kind.INGRESS, "web", "te.am", False),
        (Kind.INGRESS, "web", "", False),
        (Kind.INGRESS, "x" * 254, "team", False),
        (Kind.SERVICE, "web.example", "team", False),
        (Kind.SERVICE, "x" * 64, "team", False),
        (Kind.INGRESS_CLASS, "nginx.internal", "", True),
    ],
)
def test_names_are_dns_names(kind: Kind, name: str, namespace: str, good: bool) -> None:
    found = decode_object(kind, encoded(name=name, namespace=namespace))
    assert (found.object is not None) == good
    assert (found.finding is None) == good


def test_a_line_break_at_the_end_of_a_name_does_not_slip_through() -> None:
    assert decode_object(Kind.INGRESS, encoded(name="web\n")).object is None


def test_a_secret_is_decoded_and_never_printed() -> None:
    found = decode_object(Kind.SECRET, encoded(type="kubernetes.io/tls", data={"tls.key": "c2VjcmV0"})).object
    assert isinstance(found, Secret)
    assert found.data["tls.key"].reveal() == b"secret"
    assert "secret" not in repr(found.data)


def test_clear_text_of_a_secret_in_a_file_wins() -> None:
    document = raw(data={"a": "eA==", "b": "eQ=="}, stringData={"a": "clear"})
    found = decode_document(Kind.SECRET, document).object
    assert isinstance(found, Secret)
    assert {name: value.reveal() for name, value in found.data.items()} == {"a": b"clear", "b": b"y"}


@pytest.mark.parametrize("text", ["hunter2!", "-----BEGIN KEY-----", "abc"])
def test_a_secret_that_is_not_base64_is_refused_without_its_text(text: str) -> None:
    finding = decode_document(Kind.SECRET, raw(data={"password": text})).finding
    assert finding is not None
    assert str(finding.field) == "data[password]"
    assert text not in str(finding)


def test_base64_may_be_folded() -> None:
    found = decode_document(Kind.SECRET, raw(data={"a": "c2Vj\ncmV0\n"})).object
    assert isinstance(found, Secret)
    assert found.data["a"].reveal() == b"secret"


def test_a_file_may_leave_out_namespace_and_time() -> None:
    found = decode_document(Kind.CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert found.key == ObjectKey(Kind.CONFIG_MAP, "default", "a")
    assert isinstance(found.object, ConfigMap)
    assert found.object.metadata.creation_timestamp is None


@pytest.mark.parametrize("value", [5, 1.5, True, ["x"]])
def test_unquoted_values_are_refused_where_the_api_has_text(value: object) -> None:
    finding = decode_document(Kind.CONFIG_MAP, raw(data={"proxy-read-timeout": value})).finding
    assert finding is not None
    assert "Expected `str`" in finding.message


def test_times_become_text_of_rfc_3339() -> None:
    document = raw()
    document["metadata"]["creationTimestamp"] = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
    found = decode_document(Kind.INGRESS, document).object
    assert isinstance(found, Ingress)
    assert found.metadata.creation_timestamp == "2024-05-01T10:00:00Z"


def test_a_document_is_left_as_it_is() -> None:
    document = {"metadata": {"name": "a", "labels": None}}
    decode_document(Kind.INGRESS, document)
    assert document == {"metadata": {"name": "a", "labels": None}}


@pytest.mark.parametrize(
    ("phase", "ready", "leaving", "counts"),
    [("Running", "True", None, True), ("Running", "False", None, False), ("Pending", "True", None, False),
     ("Running", "True", "2024-05-01T10:00:00Z", False)],
)  # fmt: skip
def test_a_pod_is_ready(phase: str, ready: str, leaving: str | None, counts: bool) -> None:
    document = raw(status={"phase": phase, "conditions": [{"type": "Ready", "status": ready}]})
    document["metadata"]["deletionTimestamp"] = leaving
    found = decode_object(Kind.POD, json.dumps(document).encode()).object
    assert isinstance(found, Pod)
    assert found.ready is counts


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first text ever made takes long
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
fields = st.sampled_from(
    ["metadata", "spec", "data", "type", "endpoints", "status", "name", "namespace", "rules", "ports"]
)


@given(
    kind=st.sampled_from(sorted(TYPES)),
    value=st.dictionaries(fields, st.dictionaries(fields, json_values) | json_values),
)
def test_whatever_an_object_holds_it_is_read_or_refused(kind: Kind, value: dict[str, Any]) -> None:
    for found in (decode_object(kind, json.dumps(value).encode()), decode_document(kind, value)):
        assert (found.object is None) == (found.finding is not None)
        assert found.finding is None or found.finding.object == found.key


@patient
@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=60))
def test_whatever_the_bytes_are_there_is_an_answer(kind: Kind, text: bytes) -> None:
    assert decode_object(kind, text).key.kind is kind
