"""Ingresses of old API versions are read as their modern form, and their owners are told how to write it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from controller.k8s.codec import decode_document
from controller.k8s.ingress import HTTPPath, Ingress, IngressClass
from controller.k8s.legacy import modernise
from controller.model.diagnostics import Diagnostic
from controller.model.refs import Kind

CLASSIC = """
apiVersion: extensions/v1beta1
kind: Ingress
metadata:
  name: nginx-ingress
spec:
  backend:
    serviceName: my-nginx-other
    servicePort: 8080
  rules:
  - host: foo.mydomain.com
    http:
      paths:
      - backend:
          serviceName: my-nginx-foo
          servicePort: 8080
  - host: mydomain.com
    http:
      paths:
      - path: /bar/*
        backend:
          serviceName: my-nginx-bar
          servicePort: 8080
"""


def read(document: dict[str, Any]) -> tuple[Ingress, tuple[Diagnostic, ...]]:
    modern, findings = modernise(document)
    found = decode_document(Kind.INGRESS, modern)
    assert isinstance(found.object, Ingress), found.finding
    return found.object, findings


def one_path(port: Any = 80, version: str = "networking.k8s.io/v1beta1", **path: Any) -> dict[str, Any]:
    entry = {**path, "backend": {"serviceName": "web", "servicePort": port}}
    rules = [{"host": "a.test", "http": {"paths": [entry]}}]
    return {"apiVersion": version, "kind": "Ingress", "metadata": {"name": "a"}, "spec": {"rules": rules}}


def the_path(ingress: Ingress) -> HTTPPath:
    assert ingress.spec.rules[0].http is not None
    return ingress.spec.rules[0].http.paths[0]


def backend_of(path: HTTPPath) -> tuple[str, str]:
    assert path.backend.service is not None
    return path.backend.service.name, str(path.backend.service.port)


def test_the_classic_example() -> None:
    ingress, findings = read(yaml.safe_load(CLASSIC))
    assert ingress.spec.default_backend is not None
    assert ingress.spec.default_backend.service is not None
    assert ingress.spec.default_backend.service.name == "my-nginx-other"
    assert ingress.spec.default_backend.service.port.number == 8080
    paths = [(rule.host, path.path, path.path_type, *backend_of(path))
             for rule in ingress.spec.rules if rule.http for path in rule.http.paths]  # fmt: skip
    assert paths == [
        ("foo.mydomain.com", "", "", "my-nginx-foo", "8080"),
        ("mydomain.com", "/bar/", "Prefix", "my-nginx-bar", "8080"),
    ]
    assert {finding.code for finding in findings} == {"api-version-legacy"}
    assert [str(finding.field) for finding in findings] == [
        "apiVersion", "spec.backend", "spec.rules[1].http.paths[0].path",
    ]  # fmt: skip
    assert "{service: {name: my-nginx-other, port: {number: 8080}}}" in findings[0].hint
    assert all(finding.object == findings[0].object for finding in findings)


def test_what_the_hints_say_can_be_pasted() -> None:
    _, findings = read(yaml.safe_load(CLASSIC))
    pasted = yaml.safe_load(findings[1].hint.removeprefix("Write ").removesuffix("."))
    assert pasted == {"defaultBackend": {"service": {"name": "my-nginx-other", "port": {"number": 8080}}}}


@pytest.mark.parametrize(("port", "text"), [(80, "80"), ("80", "80"), ("http", "http")])
def test_ports_by_number_and_by_name(port: Any, text: str) -> None:
    assert backend_of(the_path(read(one_path(port))[0])) == ("web", text)


@pytest.mark.parametrize("version", ["extensions/v1beta1", "networking.k8s.io/v1beta1"])
def test_both_versions_are_told(version: str) -> None:
    _, findings = read(one_path(version=version))
    assert version in findings[0].message


@pytest.mark.parametrize(
    ("path", "read_as"),
    [
        ({"path": "/*"}, ("/", "Prefix")),
        ({"path": "/a/*", "pathType": "ImplementationSpecific"}, ("/a/", "Prefix")),
        ({"path": "/a/*", "pathType": "Exact"}, ("/a/*", "Exact")),
        ({"path": "/a*"}, ("/a*", "")),
        ({"path": "/a"}, ("/a", "")),
    ],
)
def test_patterns_of_other_controllers(path: dict[str, str], read_as: tuple[str, str]) -> None:
    found = the_path(read(one_path(**path))[0])
    assert (found.path, found.path_type) == read_as


def test_a_star_in_a_regular_expression_stays() -> None:
    document = one_path(path="/a/*")
    document["metadata"]["annotations"] = {"nginx.ingress.kubernetes.io/use-regex": "true"}
    assert the_path(read(document)[0]).path == "/a/*"


def test_the_class_object_too() -> None:
    document = {"apiVersion": "networking.k8s.io/v1beta1", "kind": "IngressClass", "metadata": {"name": "nginx"},
                "spec": {"controller": "headrace.dev/ingress"}}  # fmt: skip
    modern, findings = modernise(document)
    found = decode_document(Kind.INGRESS_CLASS, modern).object
    assert isinstance(found, IngressClass)
    assert found.spec.controller == "headrace.dev/ingress"
    assert [finding.code for finding in findings] == ["api-version-legacy"]


def test_modern_objects_pass_untouched() -> None:
    document = {**one_path(), "apiVersion": "networking.k8s.io/v1"}
    assert modernise(document) == (document, ())


@pytest.mark.parametrize(
    "spec", [None, [], {"rules": 5}, {"rules": [None, {"http": []}, {"http": {"paths": [3]}}]}, {"backend": "x"}]
)
def test_senseless_shapes_are_left_to_the_codec(spec: Any) -> None:
    document = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "a"}, "spec": spec}
    modern, _ = modernise(document)
    decode_document(Kind.INGRESS, modern)
