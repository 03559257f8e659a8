"""Snippets as directives, read as nginx reads them; the judge is crossplane where the text is complete."""

from __future__ import annotations

import json
from pathlib import Path

import crossplane
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.migrate.lexer import Directive, parse

COMPLETE = (
    "add_header X-A b;",
    'more_set_headers "X-Frame-Options: DENY" \'X-B: "c"\';',
    "# only a comment\nreturn 403; # and another",
    "if ($host = www.a.test) { return 301 https://a.test$request_uri; }",
    'if ($http_user_agent ~* "(bot|crawler)") {\n  return 403;\n}',
    "rewrite ^/a\\.b/(.*)$ /c/$1 break;",
    "location ~* \\.(js|css)$ { expires 1h; add_header A b; }",
    "location = /a { location /a/b { deny all; } }",
    "log_format x escape=json '{\"a\":\"$b\"}' '\\n';",
    "set $a ${b}c;",
    "sub_filter '</head>' '<b>{x}</b></head>';",
    "limit_req zone=a burst=5 nodelay;",
    'proxy_set_header X-A "$a;b{c}";',
)


def _by_crossplane(text: str, tmp_path: Path) -> list[tuple[str, list[str], object]]:
    path = tmp_path / "snippet.conf"
    path.write_text(text)
    payload = crossplane.parse(str(path), single=True, comments=False, check_ctx=False, check_args=False)
    assert payload["status"] == "ok", json.dumps(payload)

    def plain(parsed: list[dict[str, object]]) -> list[tuple[str, list[str], object]]:
        return [(d["directive"], d["args"], plain(d["block"]) if "block" in d else None) for d in parsed]  # type: ignore[misc,arg-type]

    return plain(payload["config"][0]["parsed"])


def _ours(directives: tuple[Directive, ...]) -> list[tuple[str, list[str], object]]:
    return [(d.name, list(d.args), _ours(d.block) if d.block is not None else None) for d in directives]


@pytest.mark.parametrize("text", [t for t in COMPLETE if not t.startswith("if") and "\\" not in t])
def test_complete_texts_are_read_as_crossplane_reads_them(text: str, tmp_path: Path) -> None:
    assert _ours(parse(text).directives) == _by_crossplane(text, tmp_path)


@pytest.mark.parametrize("text", COMPLETE)
def test_complete_texts_have_nothing_broken(text: str) -> None:
    found = parse(text)
    assert found.directives
    assert not found.broken


def test_lines_blocks_and_escapes() -> None:
    found = parse('a b;\n\n  c {\n d "e\\"f" \'g h\' \\.x ${y}z;\n}\n').directives
    assert found == (
        Directive("a", ("b",), 1),
        Directive("c", (), 3, (Directive("d", ('e"f', "g h", "\\.x", "${y}z"), 4),)),
    )
    assert str(found[1]) == "c { ... }"
    assert str(found[1].block[0]) == 'd "e\\"f" "g h" \\.x "${y}z"'  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("a b; c d", ["a"], '"c" does not end'),
        ("a { b c;", ["a"], "not closed"),
        ("a b; }", ["a"], 'unexpected "}"'),
        ("; a b;", [], 'unexpected ";"'),
        ('a "b;', [], "does not end"),
        ("a " + "{ b " * 40, ["a"], "nested too deeply"),
        ("content_by_lua_block { if x then {", [], "Lua"),
    ],
    ids=str,
)
def test_broken_text_is_read_as_far_as_it_goes(text: str, names: list[str], said: str) -> None:
    found = parse(text)
    assert [d.name for d in found.directives] == names
    assert said in found.broken


def test_lua_is_skipped_with_its_braces() -> None:
    found = parse("content_by_lua_block { local a = {1, {2}} ngx.say(a); }\nreturn 200;")
    assert [d.name for d in found.directives] == ["content_by_lua_block", "return"]


@given(st.text(alphabet="ab \n;{}\"'\\#$", max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse(text)
