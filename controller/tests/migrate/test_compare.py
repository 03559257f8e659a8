"""What counts as a difference, what does not, and what is said of it."""

from __future__ import annotations

import pytest

from controller.migrate.asking import Address, Answer
from controller.migrate.compare import Comparison, Difference, explained
from controller.migrate.requests import Request
from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.errors import UsageError
from controller.model.refs import FieldPath, Kind, ObjectKey

OLD = Address.parse("http://192.0.2.1,https://192.0.2.1")
NEW = Address.parse("http://127.0.0.1:8080,https://127.0.0.1:8443")
HOW = Comparison(OLD, NEW)
REQUEST = Request("http", "web.test", "GET", "/cart")


def answer(status: int = 200, digest: str = "a", **headers: str) -> Answer:
    return Answer(status, tuple((name.replace("_", "-"), value) for name, value in headers.items()), digest)


def whats(old: Answer, new: Answer, how: Comparison = HOW) -> list[str]:
    return [each.what for each in how.differences(REQUEST, old, new)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (answer(date="a", x_request_id="1", server="openresty"), answer(date="b", x_request_id="2", server="nginx")),
        (answer(vary="Origin, Accept"), answer(vary="accept,origin")),
        (answer(set_cookie="a=1; Path=/; HttpOnly"), answer(set_cookie="a=2; httponly; path=/")),
        (answer(set_cookie="a=1; Expires=Mon"), answer(set_cookie="a=1; expires=Tue")),
        (answer(308, location="https://web.test/cart"), answer(308, location="https://web.test:8443/cart")),
        (answer(308, location="https://web.test:443/cart"), answer(308, location="https://web.test/cart")),
        (answer(404, "one page"), answer(404, "another page")),
        (Answer(error="timed out"), Answer(error="timed out")),
    ],
)
def test_what_is_no_difference(old: Answer, new: Answer) -> None:
    assert whats(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (answer(200), answer(503), ["status"]),
        (answer(301, location="http://web.test/cart/"), answer(200), ["status", "redirect"]),
        (answer(302, location="https://a.test/"), answer(302, location="https://b.test/"), ["redirect"]),
        (answer(302, location="http://a.test:99/"), answer(302, location="http://a.test/"), ["redirect"]),
        (answer(x_frame_options="DENY"), answer(), ["header x-frame-options"]),
        (answer(set_cookie="a=1; Secure"), answer(set_cookie="a=1"), ["cookie a"]),
        (answer(set_cookie="a=1; Path=/A"), answer(set_cookie="a=1; Path=/a"), ["cookie a"]),
        (answer(digest="a"), answer(digest="b"), ["body"]),
        (Answer(error="Connection refused"), answer(), ["error"]),
    ],
)
def test_what_is_one(old: Answer, new: Answer, found: list[str]) -> None:
    assert whats(old, new) == found


def test_backends_count_instead_of_bodies_where_they_are_named() -> None:
    how = Comparison(OLD, NEW, backends=True)
    one, other = Answer(200, digest="a", backend="x"), Answer(200, digest="b", backend="x")
    assert whats(one, other, how) == []
    assert whats(one, Answer(200, digest="a", backend="y"), how) == ["backend"]
    assert whats(one, other, Comparison(OLD, NEW, bodies=False)) == []


def test_headers_can_be_ignored() -> None:
    how = Comparison(OLD, NEW, headers=frozenset({"x-pod"}))
    assert whats(answer(x_pod="a"), answer(x_pod="b"), how) == []


def test_a_slash_that_is_no_longer_added_is_known() -> None:
    found = HOW.differences(REQUEST, answer(301, location="http://web.test/cart/"), answer(200))
    assert all("slash at its end" in each.known for each in explained(found, REQUEST, {}, ()))
    other = HOW.differences(REQUEST, answer(308, location="https://web.test/cart"), answer(200))
    assert [each.known for each in explained(other, REQUEST, {}, ())] == ["", ""]


def test_a_closed_route_has_the_words_of_its_finding() -> None:
    key = ObjectKey(Kind.INGRESS, "shop", "web")
    finding = Diagnostic(
        "annotation-closes-route", Severity.ERROR, key, FieldPath(""), "No such protection.", Effect.PATH_UNSERVED
    )
    (found,) = explained([Difference("status", "200", "503")], REQUEST, {}, [finding])
    assert found.known == "No such protection."


def test_a_refused_snippet_is_named() -> None:
    (found,) = explained([Difference("header x-a", "b", "none")], REQUEST, {"server-snippet": "add_header X-A b;"}, ())
    assert found.known.startswith("server-snippet is refused")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("http://a.test", {"http": ("a.test", 80), "https": ("a.test", 443)}),
        ("https://a.test", {"http": ("a.test", 80), "https": ("a.test", 443)}),
        ("a.test", {"http": ("a.test", 80), "https": ("a.test", 443)}),
        ("http://a.test:8080", {"http": ("a.test", 8080)}),
        ("http://a.test:1,https://b.test:2", {"http": ("a.test", 1), "https": ("b.test", 2)}),
        ("http://[2001:db8::1]:8080/", {"http": ("2001:db8::1", 8080)}),
    ],
)
def test_addresses(text: str, places: dict[str, tuple[str, int]]) -> None:
    assert Address.parse(text).places == places


@pytest.mark.parametrize("text", ["", "ftp://a", "http://a/b", "http://a?b", "http://", "http://a:b", "http://a:99999"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        Address.parse(text)
