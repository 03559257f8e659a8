"""The escaped URI by both ways, with the real nginx: what comes out is read back to what went in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest

from controller.model.layout import NginxBinary
from controller.render import escaping
from controller.tests.explain.test_with_nginx import ask, running, simple
from controller.tests.ports import free_port

pytestmark = pytest.mark.nginx
BINARIES = {"njs": NginxBinary("", (1, 31, 3), frozenset({"njs"})), "maps": NginxBinary("", (1, 31, 3))}


@pytest.fixture(scope="module", params=BINARIES)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory: Path = tmp_path_factory.mktemp("nginx")
    found = free_port()
    (directory / escaping.SCRIPT_NAME).write_text(escaping.SCRIPT)
    blocks = "\n".join(escaping.blocks(BINARIES[request.param]).values())
    server = f"server {{ listen 127.0.0.1:{found}; location / {{ return 200 ${{escaped_request_uri}}; }} }}"
    simple(directory, f"variables_hash_max_size 2048; variables_hash_bucket_size 256;\n{blocks}\n{server}")
    with running(directory, found):
        yield found


TARGETS = [
    "/",
    "/page?a=b",
    "/a%20b/c+d?x=%26&y=(1)!~*'",
    "/-._~:@$,;=&'()*+[]|{}^`<>\"\\",
    "/" + "a" * 2_000,
    "/%0d%0aX:1",
    "//?",
    "/?" + "&" * 40,
]


@pytest.mark.parametrize("target", TARGETS)
def test_what_comes_out_is_one_value_of_a_query(port: int, target: str) -> None:
    status, _, body = ask(port, target)
    assert status == 200
    assert body.decode() == quote(target, safe="-._~")


def test_bytes_that_are_no_ascii_are_kept(port: int) -> None:
    _, _, body = ask(port, "/ü?ä")
    assert unquote_to_bytes(body) == "/ü?ä".encode()


@pytest.mark.parametrize("target", ["/?" + "&=" * 500, "/" + "%C3%BC" * 500, "/" + "a/" * 2_000])
def test_very_long_ones(port: int, target: str) -> None:
    """By maps a URI with too many signs becomes the home page, and that is found out at once."""
    begun = time.monotonic()
    status, _, body = ask(port, target)
    assert status == 200 and body.decode() in (quote(target, safe="-._~"), "%2F")
    assert time.monotonic() - begun < 0.5


@pytest.mark.parametrize(
    ("text", "used"),
    [("?rd=$escaped_request_uri", True), ("${escaped_request_uri}x", True), ("$escaped_request_uri_more", False)],
)
def test_whether_a_text_needs_it(text: str, used: bool) -> None:
    assert escaping.is_used_in(text) is used
