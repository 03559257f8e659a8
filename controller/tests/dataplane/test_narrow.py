"""What is left of a configuration for the test of a few servers: nginx takes it, and refuses what it would refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.dataplane.check import check, some_servers_only
from controller.dataplane.narrow import SOME_ENTRY, SOME_UPSTREAMS, is_part_of, narrowed
from controller.model.layout import Layout, NginxBinary
from controller.render.fragments import Renderer
from controller.tests.case_files import Case, all_cases
from controller.tests.case_runner import LAYOUT, run
from controller.tests.ports import free_port

ENTRY = """http {
    map $a $first { default ""; "~^(?<part>x{1,3})}" $part; }
    map "$b $c" $second {
        default "}";
        "~{2}" 1;
    }
    geo $third { default 1; }
    include upstreams.conf;
    server {
        location = /generation { return 200 ""; }
    }
    include servers/*.conf;
}
"""
TEXTS = {
    "nginx.conf": ENTRY,
    "upstreams.conf": "".join(f"upstream {name} {{\n    server x;\n}}\n" for name in ("one", "two", "tw", "all")),
    "shared.conf": "all",
    "servers/a.conf": "proxy_pass http://two/path;",
    "servers/b.conf": "proxy_pass http://one;",
}


def test_only_what_the_servers_name_is_left() -> None:
    files = narrowed(TEXTS, ["servers/a.conf"])
    assert list(files) == [SOME_ENTRY, SOME_UPSTREAMS]
    assert [line.split()[1] for line in files[SOME_UPSTREAMS].splitlines() if "upstream" in line] == [
        "two",
        "tw",
        "all",
    ]
    assert 'include "servers/a.conf";' in files[SOME_ENTRY] and "b.conf" not in files[SOME_ENTRY]


def test_maps_become_variables_and_everything_else_stays() -> None:
    entry = narrowed(TEXTS, ["servers/a.conf"])[SOME_ENTRY]
    left = [line.strip() for line in entry.splitlines() if line.strip()]
    assert left == [
        "http {",
        "geo $third { default 1; }",
        f"include {SOME_UPSTREAMS};",
        "server {",
        'set $first "";',
        'set $part "";',
        'set $second "";',
        'location = /generation { return 200 ""; }',
        "}",
        'include "servers/a.conf";',
        "}",
    ]


def test_an_entry_of_another_form_stays_as_it_is() -> None:
    text = "map $a $b { default 1; }\ninclude servers/*.conf;"
    assert narrowed({"nginx.conf": text}, ["servers/a.conf"]) == {
        SOME_ENTRY: text.replace("include servers/*.conf;", 'include "servers/a.conf";\n')
    }


@pytest.mark.parametrize(
    ("text", "whole", "part"),
    [("a\nb\n", "b\na\nc\n", True), ("", "a", True), ("a\nd", "a\nb", False), ("ab", "a\nb", False)],
)
def test_a_part_has_no_line_of_its_own(text: str, whole: str, part: bool) -> None:
    assert is_part_of(text, whole) is part


# -- the real nginx

CASES = all_cases()


@pytest.fixture(scope="module")
def layout_of_cases(nginx: NginxBinary, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Ports that nobody has: nginx opens them for a test, too."""
    root = tmp_path_factory.mktemp("narrow")
    for directory in ("run", "temp", "certificates"):
        (root / directory).mkdir()
    return replace(
        LAYOUT,
        state_dir=str(root),
        run_dir=str(root / "run"),
        nginx=NginxBinary(nginx.path, nginx.version, frozenset({"headers-more"})),
        http_port=free_port(),
        https_port=free_port(),
        sentinel_port=free_port(),
        bind_addresses=("127.0.0.1",),
        ipv6=False,
        resolvers=("127.0.0.1:1",),
        access_log=str(root / "access.log"),
        open_files=1024,
    )


async def objection(layout: Layout, directory: Path, texts: dict[str, str], server: str) -> str:
    """What nginx says of a test of this server alone."""
    _write(directory, texts)
    with some_servers_only(directory, texts, [server]) as entry:
        refusal = await check(layout.nginx.path, layout.state_dir, directory, entry=entry)
    assert not (directory / entry).exists()
    return refusal.message if refusal else ""


@pytest.mark.nginx
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_nginx_takes_every_server_of_the_cases_alone(case: Case, layout_of_cases: Layout, tmp_path: Path) -> None:
    texts = _texts_of(case, layout_of_cases)
    for server in (path for path in texts if path.startswith("servers/")):
        assert await objection(layout_of_cases, tmp_path, texts, server) == "", server


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense;", "unknown directive"),
        ("return 200 $nobody_sets_this;", "unknown"),
        ("proxy_pass http://nobody.is.invalid;", "host not found in upstream"),
        ("rewrite ( /x;", "pcre"),
    ],
)
async def test_what_nginx_refuses_is_refused(line: str, says: str, layout_of_cases: Layout, tmp_path: Path) -> None:
    texts = _texts_of(CASES[0], layout_of_cases)
    server = next(path for path in texts if path.startswith("servers/") and "catch" not in path)
    texts[server] = texts[server].rstrip().removesuffix("}") + f"location = /broken {{ {line} }} }}"
    assert says in await objection(layout_of_cases, tmp_path, texts, server)


def _texts_of(case: Case, layout: Layout) -> dict[str, str]:
    fragments = Renderer(layout).render(run(case).translation.configuration).fragments
    return {path: fragment.text for path, fragment in fragments.items()}


def _write(directory: Path, texts: dict[str, str]) -> None:
    (directory / "generation.conf").write_text('map "" $hr_generation { default "1"; }\n')
    for path, text in texts.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
