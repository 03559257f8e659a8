"""TLS with pods: who is verified, what they hear of us, and what happens where that cannot be done."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from controller.tests.live.authorities import Authority, Pair, secret, server_context
from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.grpc_peers import GrpcServer, call
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, configmap, ingress, service, slice_at, slice_of
from controller.tests.ports import free_port

PODS, CLIENTS, OTHERS = Authority("pods"), Authority("clients"), Authority("others")
MIDDLE = Authority("second", Authority("first", PODS))
CLIENT = CLIENTS.issue(common_name="headrace")
AES128 = "ECDHE-ECDSA-AES128-GCM-SHA256"
AES256 = "ECDHE-ECDSA-AES256-GCM-SHA384"


def host(name: str, service: str = "pod", path: str = "/", namespace: str = "default", **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    written = {"backend-protocol": "HTTPS", "headrace.dev/hold": "false", **written}
    return ingress(name, (f"{name}.test", path, "Prefix", service), annotations=written, namespace=namespace)


def weak_pair() -> Pair:
    key = rsa.generate_private_key(65_537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    leaf = CLIENTS.certificate
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(leaf.not_valid_before_utc)
    certificate = builder.not_valid_after(leaf.not_valid_after_utc).sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


SECRETS = [
    secret("full", CLIENT, ca_crt=PODS.pem),
    secret("ca", ca_crt=PODS.pem),
    secret("cas", ca_crt=b"some words\n" + OTHERS.pem + b"\n" + PODS.pem + OTHERS.pem),
    secret("wrong-ca", ca_crt=OTHERS.pem),
    secret("pair", CLIENT),
    secret("no-key", tls_crt=CLIENT[0], ca_crt=PODS.pem),
    secret("mismatch", tls_crt=CLIENT[0], tls_key=OTHERS.issue()[1]),
    secret("bad-ca", CLIENT, ca_crt=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    secret("nothing", other=b"x"),
    secret("weak", weak_pair()),
    secret("rotated", CLIENTS.issue(common_name="before"), ca_crt=OTHERS.pem),
    secret("full", CLIENT, namespace="other", ca_crt=PODS.pem),
]

HOSTS = [
    host("bare"),
    host("client", "guarded", proxy_ssl_secret="default/full"),
    host("no-client", "guarded", proxy_ssl_secret="default/ca"),
    host("pair-only", "guarded", proxy_ssl_secret="default/pair"),
    host("auto", "guarded", proxy_ssl_secret="default/full", backend_protocol="AUTO_HTTP"),
    host("plain", "plain", proxy_ssl_secret="default/full", proxy_ssl_verify="on", backend_protocol="HTTP"),
    host("right", proxy_ssl_secret="default/ca", proxy_ssl_verify="on"),
    host("several", proxy_ssl_secret="default/cas", proxy_ssl_verify="on", proxy_ssl_name="pod.test"),
    host("wrong", proxy_ssl_secret="default/wrong-ca", proxy_ssl_verify="on", proxy_ssl_name="pod.test"),
    host("unverified", proxy_ssl_secret="default/wrong-ca", proxy_ssl_verify="off"),
    host("unverified-too", proxy_ssl_secret="default/wrong-ca"),
    host("no-ca", proxy_ssl_secret="default/pair", proxy_ssl_verify="on"),
    host("no-secret", proxy_ssl_verify="on"),
    host("off", proxy_ssl_verify="off"),
    host("odd-verify", proxy_ssl_secret="default/ca", proxy_ssl_verify="maybe"),
    host("named", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", proxy_ssl_name="pod.test"),
    host("misnamed", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", proxy_ssl_name="else.test"),
    host("unnamed", proxy_ssl_secret="default/ca", proxy_ssl_verify="on"),
    host("vhost", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", upstream_vhost="pod.test"),
    host("sni", proxy_ssl_server_name="on"),
    host("sni-off", proxy_ssl_server_name="off", proxy_ssl_name="pod.test"),
    host("sni-name", proxy_ssl_server_name="on", proxy_ssl_name="inner.test"),
    host("sni-vhost", proxy_ssl_server_name="on", upstream_vhost="vhost.test"),
    host("sni-secret", proxy_ssl_secret="default/ca", proxy_ssl_server_name="on"),
    host("sni-odd", proxy_ssl_server_name="yes"),
    ingress("sni-wild", ("*.wild.test", "/", "Prefix", "pod"),
            annotations={"backend-protocol": "HTTPS", "proxy-ssl-server-name": "on", "proxy-ssl-secret": "default/ca"}),
    host("sni-alias", proxy_ssl_server_name="on", server_alias="alias.test"),
    host("name-odd", proxy_ssl_server_name="on", proxy_ssl_name="a;return 418"),
    host("name-odd-verified", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", proxy_ssl_name="a;return 418"),
    host("depth-1", "deep", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", proxy_ssl_name="pod.test"),
    host("depth-2", "deep", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", proxy_ssl_name="pod.test",
         proxy_ssl_verify_depth="2"),
    host("depth-0", "one-deep", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", proxy_ssl_name="pod.test",
         proxy_ssl_verify_depth="0"),
    host("depth-odd", "one-deep", proxy_ssl_secret="default/ca", proxy_ssl_verify="on", proxy_ssl_name="pod.test",
         proxy_ssl_verify_depth="many"),
    host("protocol-default", proxy_ssl_secret="default/ca"),
    host("protocol-2", proxy_ssl_secret="default/ca", proxy_ssl_protocols="TLSv1.2"),
    host("protocol-3", proxy_ssl_secret="default/ca", proxy_ssl_protocols="TLSv1.3"),
    host("protocol-both", proxy_ssl_secret="default/ca", proxy_ssl_protocols="TLSv1.3 TLSv1.2"),
    host("protocol-odd", proxy_ssl_secret="default/ca", proxy_ssl_protocols="SSLv2 TLSv1.9"),
    host("protocol-injected", proxy_ssl_secret="default/ca", proxy_ssl_protocols="TLSv1.2;return 418"),
    host("protocol-alone", proxy_ssl_protocols="TLSv1.2"),
    host("protocol-refused", "only-13", proxy_ssl_secret="default/ca"),
    host("cipher-128", "only-12", proxy_ssl_secret="default/ca", proxy_ssl_ciphers=AES128),
    host("cipher-256", "only-12", proxy_ssl_secret="default/ca", proxy_ssl_ciphers=f"NOSUCH:{AES256}"),
    host("cipher-alone", "only-12", proxy_ssl_ciphers=AES256),
    host("cipher-odd", "only-12", proxy_ssl_secret="default/ca", proxy_ssl_ciphers="NOSUCHCIPHER"),
    host("cipher-injected", "only-12", proxy_ssl_secret="default/ca", proxy_ssl_ciphers="ALL;return 418"),
    *(host(f"bad-{name}", proxy_ssl_secret=f"default/{name}")
      for name in ("no-key", "mismatch", "bad-ca", "nothing", "weak", "absent")),
    host("bad-foreign", proxy_ssl_secret="other/full"),
    host("bad-bare", proxy_ssl_secret="full"),
    host("bad-injected", proxy_ssl_secret='default/full"; return 418; "'),
    host("late", proxy_ssl_secret="default/late", proxy_ssl_verify="on", proxy_ssl_name="pod.test"),
    host("rotated", "guarded", proxy_ssl_secret="default/rotated"),
    host("rotated-ca", proxy_ssl_secret="default/rotated", proxy_ssl_verify="on", proxy_ssl_name="pod.test"),
    host("held", "held", proxy_ssl_secret="default/full", proxy_ssl_verify="on", proxy_ssl_name="pod.test",
         **{"headrace.dev/hold": "true"}),
    host("held-wrong", proxy_ssl_secret="default/wrong-ca", proxy_ssl_verify="on", **{"headrace.dev/hold": "true"}),
    host("grpcs", "grpcs", backend_protocol="GRPCS", proxy_ssl_secret="default/full", proxy_ssl_verify="on",
         proxy_ssl_name="pod.test", proxy_ssl_server_name="on"),
    host("grpcs-wrong", "grpcs", backend_protocol="GRPCS", proxy_ssl_secret="default/wrong-ca", proxy_ssl_verify="on",
         proxy_ssl_name="pod.test"),
    host("grpcs-no-client", "grpcs", backend_protocol="GRPCS"),
    host("grpcs-no-ca", "grpcs", backend_protocol="GRPCS", proxy_ssl_verify="on"),
]  # fmt: skip


def shared_host() -> list[Object]:
    """One host, three Ingresses: the oldest has the Secret, another of its namespace and one of a foreign one none."""
    secured = {"backend-protocol": "HTTPS", "proxy-ssl-secret": "default/full", "headrace.dev/hold": "false"}
    plain = {"backend-protocol": "HTTPS", "headrace.dev/hold": "false"}
    return [
        ingress("shared-1", ("shared.test", "/one", "Prefix", "guarded"), annotations=secured,
                created="2020-01-01T00:00:00Z"),
        ingress("shared-2", ("shared.test", "/two", "Prefix", "guarded"), annotations=plain,
                created="2021-01-01T00:00:00Z"),
        ingress("shared-3", ("shared.test", "/three", "Prefix", "guarded"), annotations=plain, namespace="other",
                created="2022-01-01T00:00:00Z"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def places(backends: Backends) -> Iterator[dict[str, tuple[str, int]]]:
    pair = PODS.issue("pod.test", "right.test", common_name="pod")
    contexts: dict[str, ssl.SSLContext | None] = {
        "plain": None,
        "pod": server_context(pair),
        "guarded": server_context(pair, CLIENTS),
        "one-deep": server_context(Authority("first", PODS).issue("pod.test")),
        "deep": server_context(MIDDLE.issue("pod.test")),
        "only-12": server_context(pair, version=ssl.TLSVersion.TLSv1_2, ciphers=f"{AES128}:{AES256}"),
        "only-13": server_context(pair, version=ssl.TLSVersion.TLSv1_3),
    }
    with ExitStack() as stack:
        found = {name: backends.start(name, tls=context) for name, context in contexts.items()}
        grpcs = stack.enter_context(GrpcServer("grpcs", server_context(pair, CLIENTS)))
        yield {name: (backend.host, backend.port) for name, backend in found.items()} | {
            "grpcs": (grpcs.host, grpcs.port)
        }


@pytest.fixture(scope="module")
def objects(places: dict[str, tuple[str, int]]) -> list[Object]:
    apps = [document for name in places for document in (service(name), slice_at(name, places[name]))]
    foreign = [service("guarded", "other"), slice_at("guarded", places["guarded"], namespace="other")]
    return [*apps, *foreign, service("held"), slice_of("held"), *shared_host(), *SECRETS]


@pytest.fixture(scope="module")
def headrace(run: Run, objects: list[Object]) -> Headrace:
    return run(*HOSTS, *objects)


def tls_of(headrace: Headrace, name: str, path: str = "/") -> dict[str, Any]:
    answer = headrace.get(f"http://{name}.test{path}")
    assert answer.status == 200, (name, answer.status)
    found: dict[str, Any] = answer.json["tls"]
    return found


def findings(headrace: Headrace, name: str) -> list[dict[str, Any]]:
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    return [finding for finding in report if finding["object"]["name"] == name]


# -- our certificate


@pytest.mark.shows("proxy-ssl-secret")
@pytest.mark.parametrize("name", ["client", "pair-only"])
def test_the_pod_gets_the_certificate_of_the_secret(headrace: Headrace, name: str) -> None:
    assert tls_of(headrace, name)["client"] == "headrace"


@pytest.mark.shows("proxy-ssl-secret")
def test_a_pod_that_wants_a_certificate_gets_none_without_a_pair(headrace: Headrace) -> None:
    assert headrace.get("http://no-client.test/").status in (400, 502)


@pytest.mark.shows("proxy-ssl-secret", "backend-protocol")
def test_the_certificate_with_the_scheme_of_the_client(headrace: Headrace) -> None:
    assert headrace.get("https://auto.test/").json["tls"]["client"] == "headrace"


@pytest.mark.shows("proxy-ssl-secret", "proxy-ssl-verify")
def test_plain_pods_are_not_touched(headrace: Headrace) -> None:
    assert headrace.get("http://plain.test/").backend == "plain"


@pytest.mark.shows("proxy-ssl-secret", "proxy-ssl-verify", "proxy-ssl-server-name", "backend-protocol")
def test_all_of_it_for_grpc(headrace: Headrace) -> None:
    seen = json.loads(call(headrace.https, "grpcs.test", "/test.Echo/Tell").texts[0])["tls"]
    assert (seen["client"], seen["sni"], seen["version"]) == ("headrace", "pod.test", "TLSv1.2")
    assert call(headrace.https, "grpcs-wrong.test", "/test.Echo/Say", "x").status == 502
    assert call(headrace.https, "grpcs-no-client.test", "/test.Echo/Say", "x").status == 502
    assert call(headrace.https, "grpcs-no-ca.test", "/test.Echo/Say", "x").status == 503


# -- verification


@pytest.mark.shows("proxy-ssl-verify")
@pytest.mark.parametrize("name", ["right", "several", "named", "vhost"])
def test_a_pod_that_is_who_it_should_be(headrace: Headrace, name: str) -> None:
    assert tls_of(headrace, name)["client"] is None


@pytest.mark.shows("proxy-ssl-verify", "proxy-ssl-name")
@pytest.mark.parametrize("name", ["wrong", "misnamed", "unnamed"])
def test_a_pod_that_is_somebody_else_gets_no_request(headrace: Headrace, name: str) -> None:
    for _ in range(3):
        assert headrace.get(f"http://{name}.test/", method="POST", body=b"secret").status == 502


@pytest.mark.shows("proxy-ssl-verify")
@pytest.mark.parametrize("name", ["unverified", "unverified-too", "off", "bare"])
def test_nobody_is_verified_unless_asked_for(headrace: Headrace, name: str) -> None:
    assert headrace.get(f"http://{name}.test/").backend == "pod"


@pytest.mark.shows("proxy-ssl-verify", "proxy-ssl-name")
@pytest.mark.parametrize("name", ["no-ca", "no-secret", "odd-verify", "name-odd-verified"])
def test_a_verification_that_cannot_be_done_closes_the_paths(headrace: Headrace, name: str) -> None:
    assert headrace.get(f"http://{name}.test/").status == 503
    assert any(finding["code"] == "annotation-closes-route" for finding in findings(headrace, name))


@pytest.mark.shows("proxy-ssl-verify")
def test_a_connection_that_nobody_verified_is_not_used_for_those_who_want_it(headrace: Headrace) -> None:
    """All of them go to the same pod, whose connections and TLS sessions nginx keeps."""
    for _ in range(4):
        assert headrace.get("http://unverified.test/").status == 200
        assert headrace.get("http://right.test/").status == 200
        assert headrace.get("http://wrong.test/").status == 502
        assert headrace.get("http://misnamed.test/").status == 502


@pytest.mark.shows("proxy-ssl-verify-depth")
@pytest.mark.parametrize(("name", "status"), [("depth-1", 502), ("depth-2", 200), ("depth-0", 200), ("depth-odd", 200)])
def test_how_many_authorities_may_stand_between(headrace: Headrace, name: str, status: int) -> None:
    assert headrace.get(f"http://{name}.test/").status == status


@pytest.mark.shows("proxy-ssl-verify-depth")
def test_a_depth_that_is_no_number_is_told(headrace: Headrace) -> None:
    assert [finding["code"] for finding in findings(headrace, "depth-odd")] == ["annotation-invalid"]


# -- what the pod hears


@pytest.mark.shows("proxy-ssl-server-name", "proxy-ssl-name")
@pytest.mark.parametrize(
    ("name", "heard"),
    [
        ("bare", None),
        ("right", None),
        ("sni", "sni.test"),
        ("sni-off", None),
        ("sni-name", "inner.test"),
        ("sni-vhost", "vhost.test"),
        ("sni-secret", "sni-secret.test"),
        ("sni-odd", None),
        ("name-odd", "name-odd.test"),
    ],
)
def test_the_name_that_the_pod_hears(headrace: Headrace, name: str, heard: str | None) -> None:
    assert tls_of(headrace, name)["sni"] == heard


@pytest.mark.shows("proxy-ssl-server-name", "server-alias")
def test_each_client_of_a_host_with_several_names_has_its_own(headrace: Headrace) -> None:
    for name in ("a.wild", "b.wild", "a.wild", "sni-alias", "alias", "sni-alias"):
        assert tls_of(headrace, name)["sni"] == f"{name}.test"


@pytest.mark.shows("proxy-ssl-server-name")
def test_the_name_has_no_port(headrace: Headrace) -> None:
    assert headrace.get("http://sni.test/", host="sni.test:8080").json["tls"]["sni"] == "sni.test"


@pytest.mark.shows("proxy-ssl-protocols")
@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("bare", "TLSv1.3"),
        ("protocol-default", "TLSv1.2"),
        ("protocol-2", "TLSv1.2"),
        ("protocol-3", "TLSv1.3"),
        ("protocol-both", "TLSv1.3"),
        ("protocol-odd", "TLSv1.2"),
        ("protocol-injected", "TLSv1.2"),
        ("protocol-alone", "TLSv1.2"),
    ],
)
def test_the_version_of_tls(headrace: Headrace, name: str, version: str) -> None:
    assert tls_of(headrace, name)["version"] == version


@pytest.mark.shows("proxy-ssl-protocols")
def test_a_pod_that_speaks_newer_versions_only(headrace: Headrace) -> None:
    assert headrace.get("http://protocol-refused.test/").status == 502


@pytest.mark.shows("proxy-ssl-ciphers")
@pytest.mark.parametrize(("name", "cipher"), [("cipher-128", AES128), ("cipher-256", AES256), ("cipher-alone", AES256)])
def test_the_ciphers_that_the_pod_is_offered(headrace: Headrace, name: str, cipher: str) -> None:
    assert tls_of(headrace, name)["cipher"] == cipher


@pytest.mark.shows("proxy-ssl-ciphers")
@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("cipher-256", ["annotation-ignored"]),
        ("cipher-odd", ["annotation-invalid"]),
        ("cipher-injected", ["annotation-invalid"]),
    ],
)
def test_ciphers_that_do_not_exist_are_told(headrace: Headrace, name: str, codes: list[str]) -> None:
    assert headrace.get(f"http://{name}.test/").status == 200
    assert [finding["code"] for finding in findings(headrace, name)] == codes


# -- Secrets


@pytest.mark.shows("proxy-ssl-secret")
@pytest.mark.parametrize(
    "name", ["no-key", "mismatch", "bad-ca", "nothing", "weak", "absent", "foreign", "bare", "injected"]
)
def test_a_secret_that_cannot_be_used_closes_the_paths(headrace: Headrace, name: str) -> None:
    assert headrace.get(f"http://bad-{name}.test/").status == 503
    (finding,) = findings(headrace, f"bad-{name}")
    assert finding["code"] == "annotation-closes-route" and "proxy-ssl-secret" in finding["field"]
    assert "BEGIN" not in json.dumps(finding)


@pytest.mark.shows("proxy-ssl-secret")
def test_a_secret_that_comes_and_goes(headrace: Headrace) -> None:
    assert headrace.get("http://late.test/").status == 503
    headrace.write("late.yaml", secret("late", ca_crt=PODS.pem))
    headrace.until(lambda: headrace.get("http://late.test/").status == 200)
    (headrace.manifests / "late.yaml").unlink()
    headrace.until(lambda: headrace.get("http://late.test/").status == 503)


@pytest.mark.shows("proxy-ssl-secret")
def test_a_secret_that_is_rotated(headrace: Headrace, objects: list[Object]) -> None:
    assert tls_of(headrace, "rotated")["client"] == "before"
    assert headrace.get("http://rotated-ca.test/").status == 502
    after = secret("rotated", CLIENTS.issue(common_name="after"), ca_crt=PODS.pem)
    kept = [document for document in objects if document["metadata"]["name"] != "rotated"]
    headrace.write("objects.yaml", *HOSTS, *kept, after)
    headrace.until(lambda: tls_of(headrace, "rotated")["client"] == "after")
    headrace.until(lambda: headrace.get("http://rotated-ca.test/").status == 200)


@pytest.mark.shows("proxy-ssl-secret")
def test_the_files_of_secrets_are_private(headrace: Headrace) -> None:
    files = [path for path in (headrace.directory / "state" / "certificates").iterdir() if path.suffix == ".pair"]
    assert files
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


# -- hosts and holds


@pytest.mark.shows("proxy-ssl-secret")
def test_ingresses_of_a_host_and_namespace_share_the_secret(headrace: Headrace) -> None:
    assert tls_of(headrace, "shared", "/one")["client"] == "headrace"
    assert tls_of(headrace, "shared", "/two")["client"] == "headrace"
    assert headrace.get("http://shared.test/three").status in (400, 502), "another namespace"


@pytest.mark.shows("configmap:proxy-ssl-location-only")
def test_the_operator_keeps_secrets_to_their_own_paths(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects, configmap(proxy_ssl_location_only="true"), flags=CONFIGMAP)
    assert tls_of(headrace, "shared", "/one")["client"] == "headrace"
    assert headrace.get("http://shared.test/two").status in (400, 502)


@pytest.mark.shows("proxy-ssl-secret", "proxy-ssl-verify")
def test_a_held_request_goes_to_a_pod_that_is_verified(headrace: Headrace, places: dict[str, tuple[str, int]]) -> None:
    headrace.write("held.yaml", slice_at("held", ("127.0.0.1", free_port()), suffix="2"))
    headrace.until(lambda: _waits(headrace, "http://held.test/"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(headrace.get, "http://held.test/x?a=%2F", method="POST", body=b"kept")
        time.sleep(0.4)
        assert not waiting.done()
        headrace.write("held.yaml", slice_at("held", places["guarded"], suffix="2"))
        answer = waiting.result()
    assert (answer.status, answer.json["target"], answer.json["body"]) == (200, "/x?a=%2F", "kept")
    assert answer.json["tls"]["client"] == "headrace"


def _waits(headrace: Headrace, url: str) -> bool:
    try:
        return headrace.get(url, timeout=0.25).status != 503
    except TimeoutError:
        return True


@pytest.mark.shows("proxy-ssl-verify")
def test_a_pod_that_stays_somebody_else_makes_nobody_wait_twice(headrace: Headrace) -> None:
    begun = time.monotonic()
    assert headrace.get("http://held-wrong.test/").status == 502
    assert time.monotonic() - begun < 3.5
    begun = time.monotonic()
    assert headrace.get("http://held-wrong.test/").status == 502
    assert time.monotonic() - begun < 0.6
