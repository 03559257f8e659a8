"""Which certificate a client gets for the name it asks for, and which versions of TLS and HTTP it may speak."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cryptography import x509

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.handshakes import get_http2, leaf_of, shake
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import (
    CONFIGMAP,
    Object,
    app,
    configmap,
    ingress,
    issued_pair,
    key_pair,
    service,
    tls_secret,
)

Pair = tuple[bytes, bytes]
CHAINED, ROOT = issued_pair("chained.test")
PAIRS: dict[str, Pair] = {
    "exact": key_pair("exact.test"),
    "wild": key_pair("*.wild.test"),
    "own": key_pair("own.wild.test"),
    "rsa": key_pair("rsa.test", kind="rsa"),
    "chained": CHAINED,
    "san": key_pair("elsewhere.test", "san.test"),
    "san-wild": key_pair("*.san-wild.test"),
    "common-name": key_pair(common_name="common-name.test"),
    "expired": key_pair("expired.test", days=-1),
    "wrong-name": key_pair("elsewhere.test"),
    "san-and-common-name": key_pair("elsewhere.test", common_name="san-and-common-name.test"),
    "old": key_pair("old.test"),
    "young": key_pair("old.test"),
    "second": key_pair("second.test"),
}
MISMATCHED = (key_pair("mismatched.test")[0], key_pair("mismatched.test")[1])
DEFAULT = "default"


def secure(name: str, host: str, secret: str | None = None, **options: object) -> Object:
    """An Ingress with a tls section for its host; without a Secret the section names none."""
    tls: Object = {"hosts": [host]} if secret is None else {"hosts": [host], "secretName": secret}
    return ingress(name, (host, "/", "Prefix", "one"), tls=[tls], **options)  # type: ignore[arg-type]


def objects() -> list[Object]:
    no_key = tls_secret("no-key", key_pair("no-key.test"))
    del no_key["data"]["tls.key"]
    return [
        *(tls_secret(name, pair) for name, pair in PAIRS.items()),
        tls_secret("mismatched", MISMATCHED),
        tls_secret("garbage", (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"x")),
        no_key,
        secure("exact", "exact.test", "exact"),
        secure("wild", "*.wild.test", "wild"),
        ingress("plain-in-wild", ("plain.wild.test", "/", "Prefix", "one")),
        secure("own-in-wild", "own.wild.test", "own"),
        secure("missing-in-wild", "missing.wild.test", "nowhere"),
        secure("rsa", "rsa.test", "rsa"),
        secure("chained", "chained.test", "chained"),
        ingress("san", ("san.test", "/", "Prefix", "one"), ("b.san-wild.test", "/", "Prefix", "one"),
                tls=[{"secretName": "exact"}, {"secretName": "san"}, {"secretName": "san-wild"}]),
        ingress("uncovered", ("uncovered.test", "/", "Prefix", "one"), tls=[{"secretName": "exact"}]),
        secure("common-name", "common-name.test", "common-name"),
        secure("san-and-common-name", "san-and-common-name.test", "san-and-common-name"),
        secure("expired", "expired.test", "expired"),
        secure("missing", "missing.test", "nowhere"),
        secure("wrong-name", "wrong-name.test", "wrong-name"),
        secure("mismatched", "mismatched.test", "mismatched"),
        secure("garbage", "garbage.test", "garbage"),
        secure("no-key", "no-key.test", "no-key"),
        secure("no-secret", "no-secret.test"),
        secure("foreign", "foreign.test", "exact", namespace="foreign"),
        ingress("no-tls", ("no-tls.test", "/", "Prefix", "one")),
        ingress("spelled", ("second.test", "/", "Prefix", "one"),
                tls=[{"hosts": ["unrelated.test", "SECOND.test"], "secretName": "second"}]),
        ingress("oldest", ("old.test", "/a", "Prefix", "one"), created="2019-01-01T00:00:00Z"),
        secure("older", "old.test", "old", created="2020-01-01T00:00:00Z"),
        ingress("younger", ("old.test", "/b", "Prefix", "one"), created="2021-01-01T00:00:00Z",
                tls=[{"hosts": ["old.test"], "secretName": "young"}]),
        service("one", "foreign"),
    ]  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """The name a client sends (None: no SNI) and the Secret whose certificate it must get."""

    name: str | None
    secret: str


TABLE = [
    Ask("exact.test", "exact"),
    Ask("EXACT.Test", "exact"),
    Ask("exact.test.", "exact"),
    Ask("a.wild.test", "wild"),
    Ask("A.WILD.test", "wild"),
    Ask("a.wild.test.", "wild"),
    Ask("a.b.wild.test", DEFAULT),
    Ask("wild.test", DEFAULT),
    Ask("plain.wild.test", "wild"),
    Ask("own.wild.test", "own"),
    Ask("missing.wild.test", DEFAULT),
    Ask("rsa.test", "rsa"),
    Ask("chained.test", "chained"),
    Ask("san.test", "san"),
    Ask("b.san-wild.test", "san-wild"),
    Ask("uncovered.test", DEFAULT),
    Ask("common-name.test", "common-name"),
    Ask("san-and-common-name.test", DEFAULT),
    Ask("expired.test", "expired"),
    Ask("missing.test", DEFAULT),
    Ask("wrong-name.test", DEFAULT),
    Ask("mismatched.test", DEFAULT),
    Ask("garbage.test", DEFAULT),
    Ask("no-key.test", DEFAULT),
    Ask("no-secret.test", DEFAULT),
    Ask("foreign.test", DEFAULT),
    Ask("no-tls.test", DEFAULT),
    Ask("second.test", "second"),
    Ask("old.test", "old"),
    Ask("unknown.test", DEFAULT),
    Ask("localhost", DEFAULT),
    Ask(None, DEFAULT),
]


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    yield run(*objects(), *app("one", backends.start("one")))


@pytest.mark.parametrize("ask", TABLE, ids=str)
def test_the_certificate_of_the_name(headrace: Headrace, ask: Ask) -> None:
    served = headrace.certificate(ask.name)
    by_secret = {leaf_of(pair): name for name, pair in PAIRS.items()}
    assert by_secret.get(served, DEFAULT) == ask.secret


def test_every_fallback_is_the_same_self_signed_certificate(headrace: Headrace) -> None:
    served = {headrace.certificate(ask.name) for ask in TABLE if ask.secret == DEFAULT}
    assert len(served) == 1
    fallback = x509.load_der_x509_certificate(served.pop())
    assert fallback.issuer == fallback.subject
    fallback.verify_directly_issued_by(fallback)


def test_the_intermediate_is_sent_so_that_a_client_with_the_root_alone_is_satisfied(headrace: Headrace) -> None:
    assert shake(headrace, "chained.test", root=ROOT).leaf == leaf_of(CHAINED)


@pytest.mark.parametrize("name", ["exact.test", "rsa.test"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_modern_versions_work_with_both_kinds_of_keys(headrace: Headrace, version: ssl.TLSVersion, name: str) -> None:
    agreed = shake(headrace, name, version=version)
    assert agreed.version == version.name.replace("_", ".")
    if version is ssl.TLSVersion.TLSv1_2:
        assert agreed.cipher.startswith("ECDHE-RSA-" if name == "rsa.test" else "ECDHE-ECDSA-")


def shake_with_tls_1_1(headrace: Headrace) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        shake(headrace, "exact.test", version=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0")


def test_tls_1_1_is_refused(headrace: Headrace) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        shake_with_tls_1_1(headrace)


def test_a_weak_cipher_is_refused(headrace: Headrace) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
        shake(headrace, "rsa.test", version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-SHA:@SECLEVEL=0")


def test_the_route_follows_the_host_and_not_the_name_of_the_handshake(headrace: Headrace) -> None:
    assert headrace.get("https://exact.test/", host="rsa.test").backend == "one"
    assert headrace.get("https://exact.test/", host="unknown.test").status == 404


@pytest.mark.shows("configmap:use-http2")
def test_http_2_is_chosen_where_the_client_offers_it(headrace: Headrace) -> None:
    assert shake(headrace, "exact.test", alpn=("h2", "http/1.1")).protocol == "h2"
    assert shake(headrace, "exact.test", alpn=("http/1.1",)).protocol == "http/1.1"
    assert shake(headrace, "exact.test").protocol is None
    answer = get_http2(headrace, "exact.test", "/over/h2")
    assert answer.ok
    assert b'"target": "/over/h2"' in answer.body
    assert b'"host": "exact.test"' in answer.body
    assert answer.max_streams == 128


@pytest.mark.shows("configmap:ssl-protocols")
def test_the_flag_gives_the_default_certificate_and_keys_narrow_the_protocols(run: Run, backends: Backends) -> None:
    chosen = key_pair("anything.example")
    headrace = run(
        secure("exact", "exact.test", "exact"),
        secure("missing", "missing.test", "nowhere"),
        tls_secret("exact", PAIRS["exact"]),
        tls_secret("chosen", chosen, namespace="infra"),
        *app("one", backends.start("one")),
        configmap(use_http2="false", ssl_protocols="TLSv1.2", ssl_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"),
        flags=(*CONFIGMAP, "--default-ssl-certificate", "infra/chosen"),
    )
    for name in ("missing.test", "unknown.test", None):
        assert headrace.certificate(name) == leaf_of(chosen), name
    agreed = shake(headrace, "exact.test", alpn=("h2", "http/1.1"))
    assert (agreed.leaf, agreed.protocol) == (leaf_of(PAIRS["exact"]), "http/1.1")
    assert (agreed.version, agreed.cipher) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    with pytest.raises(ssl.SSLError):
        shake(headrace, "exact.test", version=ssl.TLSVersion.TLSv1_3)


@pytest.mark.shows("configmap:ssl-reject-handshake")
def test_unknown_names_get_an_alert_where_the_operator_wants_it(run: Run, backends: Backends) -> None:
    headrace = run(
        *objects(),
        *app("one", backends.start("one")),
        configmap(ssl_reject_handshake="true", http2_max_concurrent_streams="7"),
        flags=CONFIGMAP,
    )
    for name in ("unknown.test", "a.b.wild.test", "wild.test", None):
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            headrace.certificate(name)
    assert headrace.certificate("exact.test") == leaf_of(PAIRS["exact"])
    assert headrace.certificate("a.wild.test") == leaf_of(PAIRS["wild"])
    assert headrace.certificate("missing.test")
    assert headrace.get("http://unknown.test/").status == 404
    assert get_http2(headrace, "exact.test").max_streams == 7
