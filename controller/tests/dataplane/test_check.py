"""Reading what nginx says; the lines are those of nginx 1.31.3."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.dataplane.check import check, describe_start, read_refusal
from controller.dataplane.result import Refusal
from controller.model.errors import NginxRefused
from controller.model.layout import NginxBinary

ROOT = Path("/s/generations/7.trial")
LINE = "2026/11/22 22:15:27 [emerg] 27378#27378: "
TAIL = f"\nnginx: configuration file {ROOT}/nginx.conf test failed\n"


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (
            f'{LINE}unknown directive "bogus" in {ROOT}/servers/a.conf:2',
            Refusal('unknown directive "bogus"', "servers/a.conf", 2),
        ),
        (
            f'{LINE}pcre_compile() failed: missing ) in "(" in {ROOT}/servers/*.example.com.conf:3',
            Refusal('pcre_compile() failed: missing ) in "("', "servers/*.example.com.conf", 3),
        ),
        (
            f'{LINE}invalid value "/x" in /etc/nginx/mime.types:9',
            Refusal('invalid value "/x"', "/etc/nginx/mime.types", 9),
        ),
        (
            f'{LINE}cannot load certificate "/c/x.pem": BIO_new_file() failed (SSL: error:80000002:system library)',
            Refusal(
                'cannot load certificate "/c/x.pem": BIO_new_file() failed (SSL: error:80000002:system library)',
                named_path="/c/x.pem",
            ),
        ),
        (
            f'{LINE}SSL_CTX_use_PrivateKey("/c/k.pem") failed (SSL: error:05800074:key values mismatch)',
            Refusal(
                'SSL_CTX_use_PrivateKey("/c/k.pem") failed (SSL: error:05800074:key values mismatch)',
                named_path="/c/k.pem",
            ),
        ),
        (
            f"{LINE}could not build server_names_hash, you should increase server_names_hash_bucket_size: 32",
            Refusal("could not build server_names_hash, you should increase server_names_hash_bucket_size: 32"),
        ),
        (
            "2026/11/22 22:15:27 [warn] 1#1: conflicting server name\n"
            f"nginx: [emerg] first\n{LINE}second in {ROOT}/nginx.conf:1",
            Refusal("first"),
        ),
        ("Segmentation fault", Refusal("Segmentation fault")),
        ("", Refusal("nginx said nothing")),
    ],
)
def test_the_first_error_is_read(said: str, refusal: Refusal) -> None:
    tail = TAIL if "emerg" in said else ""
    assert read_refusal(said + tail, ROOT) == refusal


async def test_a_directory_that_is_not_in_force_is_tested(root: Path, nginx: NginxBinary) -> None:
    """Relative includes are looked up beside the file, not beside the generation in force."""
    trial = root / "generations" / "2.trial"
    (trial / "servers").mkdir(parents=True)
    (trial / "nginx.conf").write_text(
        f"pid {root}/pid; error_log stderr; events {{}} http {{ access_log off;"
        f" client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; include servers/*.conf; }}"
    )
    server = trial / "servers" / "a.conf"
    server.write_text("server { listen unix:" + str(root / "x.sock") + "; }")
    assert await check(nginx.path, str(root), trial) is None
    server.write_text("\nserver { listen nowhere.invalid:80; }")
    refusal = await check(nginx.path, str(root), trial)
    assert refusal
    assert (refusal.file, refusal.line) == ("servers/a.conf", 2)


async def test_a_check_that_does_not_end_or_cannot_begin(root: Path) -> None:
    script = root / "nginx"
    script.write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(NginxRefused, match="cannot run"):
        await check(str(script), str(root), root)
    script.chmod(0o755)
    with pytest.raises(NginxRefused, match=r"did not end within 0\.1 s"):
        await check(str(script), str(root), root, deadline=0.1)


def test_an_address_that_cannot_be_had_is_explained() -> None:
    in_use = "bind() to 0.0.0.0:80 failed (98: Address in use)"
    assert describe_start(in_use) == f"{in_use}: another process listens there; end it or choose another port"
    assert "NET_BIND_SERVICE" in describe_start("bind() to [::]:443 failed (13: Permission denied)")
    assert describe_start("anything else") == "anything else"
