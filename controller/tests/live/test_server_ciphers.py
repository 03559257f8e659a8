"""Ciphers of a host, and whose order of them counts."""

from __future__ import annotations

import ssl

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.handshakes import shake
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import app, ingress, key_pair, tls_secret
from controller.tests.live.protocols import findings

OLD, NEW = "2020-01-01T00:00:00Z", "2024-01-01T00:00:00Z"
AES128, AES256 = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"
BOTH = f"{AES128}:{AES256}"


@pytest.fixture(scope="module")
def offering(run: Run, backends: Backends) -> Headrace:
    annotations = {
        "usual": {},
        "strong": {"ssl-ciphers": AES256},
        "typo": {"ssl-ciphers": f"NOSUCH:{AES256}:ALSO-NOT"},
        "nothing": {"ssl-ciphers": "NOSUCHCIPHER"},
        "empty": {"ssl-ciphers": "HIGH:!ALL"},
        "commands": {"ssl-ciphers": f"{AES256}:@STRENGTH:@SECLEVEL=1"},
        "newer": {"ssl-ciphers": f"TLS_AES_128_GCM_SHA256:{AES256}"},
        "injected": {"ssl-ciphers": "ALL;return 418"},
        "ours": {"ssl-ciphers": BOTH},
        "ours-on": {"ssl-ciphers": BOTH, "ssl-prefer-server-ciphers": "true"},
        "theirs": {"ssl-ciphers": BOTH, "ssl-prefer-server-ciphers": "false"},
        "theirs-usual": {"ssl-prefer-server-ciphers": "false"},
        "odd": {"ssl-ciphers": BOTH, "ssl-prefer-server-ciphers": "no"},
    }
    tls = [{"secretName": "rsa"}]
    hosts = [
        ingress(name, (f"{name}.test", "/", "Prefix", "app"), annotations=found, tls=tls)
        for name, found in annotations.items()
    ]
    pair = tls_secret("rsa", key_pair(*(f"{name}.test" for name in annotations), "two.test", kind="rsa"))
    two = [
        ingress(
            "two-young", ("two.test", "/a", "Prefix", "app"), annotations={"ssl-ciphers": AES128}, created=NEW, tls=tls
        ),
        ingress(
            "two-old", ("two.test", "/b", "Prefix", "app"), annotations={"ssl-ciphers": AES256}, created=OLD, tls=tls
        ),
    ]
    return run(*hosts, *two, pair, *app("app", backends.start("app")))


def cipher(headrace: Headrace, name: str, offered: str = BOTH) -> str:
    return shake(headrace, f"{name}.test", version=ssl.TLSVersion.TLSv1_2, ciphers=offered).cipher


@pytest.mark.shows("ssl-ciphers")
@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("usual", AES128), ("strong", AES256), ("typo", AES256), ("nothing", AES128), ("empty", AES128),
        ("commands", AES256), ("newer", AES256), ("injected", AES128), ("two", AES256),
    ],
)  # fmt: skip
def test_the_ciphers_of_a_host(offering: Headrace, name: str, chosen: str) -> None:
    assert cipher(offering, name) == chosen
    assert shake(offering, f"{name}.test").version == "TLSv1.3", "which has suites of its own"


@pytest.mark.shows("ssl-ciphers")
def test_a_client_without_any_of_them(offering: Headrace) -> None:
    with pytest.raises(ssl.SSLError):
        cipher(offering, "strong", AES128)
    assert cipher(offering, "usual", AES256) == AES256


@pytest.mark.shows("ssl-ciphers")
@pytest.mark.parametrize("name", ["typo", "nothing", "empty", "injected", "newer"])
def test_ciphers_that_do_not_exist_are_told(offering: Headrace, name: str) -> None:
    assert any("ssl-ciphers" in finding["field"] for finding in findings(offering, name))


@pytest.mark.shows("ssl-prefer-server-ciphers")
@pytest.mark.parametrize(
    ("name", "chosen"),
    [("ours", AES128), ("ours-on", AES128), ("theirs", AES256), ("theirs-usual", AES256), ("odd", AES128)],
)
def test_whose_order_counts(offering: Headrace, name: str, chosen: str) -> None:
    assert cipher(offering, name, f"{AES256}:{AES128}") == chosen
