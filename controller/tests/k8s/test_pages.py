"""Pages of a list and lines of a watch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.k8s.pages import NotKubernetes, Verb, decode_line, decode_page
from controller.model.refs import Kind


def ingress(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "team", "resourceVersion": "5"}, **more}


def page(*items: Any, **meta: Any) -> bytes:
    return json.dumps({"kind": "IngressList", "metadata": {"resourceVersion": "9", **meta}, "items": items}).encode()


def line(verb: str, found: Any) -> bytes:
    return json.dumps({"type": verb, "object": found}).encode()


def test_one_bad_object_costs_itself_alone() -> None:
    found = decode_page(Kind.INGRESS, page(ingress("a"), ingress("b", spec={"rules": 1}), ingress("c")))
    assert [(item.key.name, item.object is not None) for item in found.items] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    assert (found.version, found.more) == ("9", "")


def test_a_page_names_the_next_one() -> None:
    assert decode_page(Kind.INGRESS, page(**{"continue": "token", "remainingItemCount": 3})).more == "token"


@pytest.mark.parametrize("body", [b"<html>proxy error</html>", b'{"kind": "Status", "code": 200}', b"[]", b""])
def test_what_is_no_list_is_told_so(body: bytes) -> None:
    with pytest.raises(NotKubernetes):
        decode_page(Kind.INGRESS, body)


def test_items_may_be_null() -> None:
    body = json.dumps({"metadata": {"resourceVersion": "9"}, "items": None}).encode()
    assert decode_page(Kind.INGRESS, body).items == ()


@pytest.mark.parametrize(
    ("verb", "means"), [("ADDED", Verb.APPLIED), ("MODIFIED", Verb.APPLIED), ("DELETED", Verb.DELETED)]
)
def test_a_line_of_a_watch(verb: str, means: Verb) -> None:
    found = decode_line(Kind.INGRESS, line(verb, ingress("a")))
    assert (found.verb, found.version) == (means, "5")
    assert found.decoded is not None
    assert found.decoded.key.name == "a"


def test_a_bookmark_moves_the_version_only() -> None:
    found = decode_line(Kind.INGRESS, line("BOOKMARK", {"kind": "Ingress", "metadata": {"resourceVersion": "12"}}))
    assert found == (Verb.BOOKMARK, None, "12", "")


@pytest.mark.parametrize(
    ("status", "means"),
    [({"code": 410, "reason": "Expired"}, Verb.EXPIRED), ({"code": 500, "message": "etcd"}, Verb.FAILED)],
)
def test_an_error_in_a_watch(status: dict[str, Any], means: Verb) -> None:
    assert decode_line(Kind.INGRESS, line("ERROR", status)).verb is means


def test_a_refused_object_still_moves_the_version() -> None:
    assert decode_line(Kind.INGRESS, line("ADDED", ingress("a", spec=[]))).version == "5"


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"type": "NEW", "object": {}}'])
def test_what_is_no_event_is_told_so(text: bytes) -> None:
    with pytest.raises(NotKubernetes):
        decode_line(Kind.INGRESS, text)
