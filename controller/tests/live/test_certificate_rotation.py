"""Certificates that change while traffic flows: a rotated one needs no reload, a broken one harms nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.handshakes import leaf_of
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, ingress, key_pair, tls_secret

SERVED_WITHIN = 5.0


def secure(name: str) -> Object:
    return ingress(name, (f"{name}.test", "/", "Prefix", "one"), tls=[{"hosts": [f"{name}.test"], "secretName": name}])


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    names = ("rotated", "broken", "deleted", "late")
    yield run(*(secure(name) for name in names), *app("one", backends.start("one")))


def serve(headrace: Headrace, name: str, pair: tuple[bytes, bytes]) -> float:
    """Writes the Secret and waits until its certificate is served and accounted for; returns how long serving took."""
    headrace.write(f"{name}.yaml", tls_secret(name, pair))
    took = headrace.until(lambda: headrace.certificate(f"{name}.test") == leaf_of(pair), SERVED_WITHIN, name)
    headrace.until(lambda: not missing(headrace, name), message="still reported as missing")
    return took


def missing(headrace: Headrace, name: str) -> bool:
    """Whether the report says that there is no such Secret."""
    return any(finding["object"]["name"] == name for finding in findings(headrace, "secret-not-found"))


def findings(headrace: Headrace, code: str) -> list[Object]:
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)
    return [finding for finding in report["diagnostics"] if finding["code"] == code]


def test_a_secret_that_appears_later_is_served(headrace: Headrace) -> None:
    serve(headrace, "late", key_pair("late.test"))


def test_a_rotated_certificate_is_served_soon_and_without_any_reload(headrace: Headrace) -> None:
    serve(headrace, "rotated", key_pair("rotated.test"))
    before = headrace.metric("headrace_reloads_total")
    for kind in ("rsa", "ec"):
        serve(headrace, "rotated", key_pair("rotated.test", kind=kind))
    assert headrace.metric("headrace_reloads_total") == before


def test_a_broken_replacement_keeps_the_last_good_pair_also_over_a_restart(headrace: Headrace) -> None:
    good, other = key_pair("broken.test"), key_pair("broken.test")
    serve(headrace, "broken", good)
    headrace.write("broken.yaml", tls_secret("broken", (other[0], good[1])))
    headrace.until(lambda: findings(headrace, "certificate-key-mismatch"), message="nobody was told")
    told = findings(headrace, "certificate-key-mismatch")
    assert {(f["object"]["kind"], f["object"]["name"]) for f in told} == {("Secret", "broken"), ("Ingress", "broken")}
    assert {f["effect"] for f in told} == {"previous-version-served"}
    assert headrace.certificate("broken.test") == leaf_of(good)
    headrace.stop()
    headrace.start()
    assert headrace.certificate("broken.test") == leaf_of(good)
    serve(headrace, "broken", other)
    headrace.until(lambda: not findings(headrace, "certificate-key-mismatch"), message="still complaining")


def test_a_deleted_secret_gives_way_to_the_default_certificate(headrace: Headrace) -> None:
    pair = key_pair("deleted.test")
    serve(headrace, "deleted", pair)
    default = headrace.certificate("unknown.test")
    (headrace.manifests / "deleted.yaml").unlink()
    headrace.until(lambda: headrace.certificate("deleted.test") == default, SERVED_WITHIN, "not the default")
    headrace.until(lambda: missing(headrace, "deleted"), message="nobody was told")


def test_the_self_signed_certificate_is_a_new_one_after_each_start(headrace: Headrace) -> None:
    before = headrace.certificate("unknown.test")
    headrace.stop()
    headrace.start()
    assert headrace.certificate("unknown.test") not in (b"", before)
