"""Certificates of clients: who gets in, what pods hear of them, and that nobody gets in by another door."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pytest

from controller.tests.live.authorities import Authority, Pair, client_context, secret
from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.grpc_peers import GrpcCall
from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import Object, app, ingress, key_pair, service, slice_at, slice_of
from controller.tests.ports import free_port

STAFF, OTHERS, NEXT = Authority("staff"), Authority("others"), Authority("staff")
MIDDLE = Authority("second", Authority("first", STAFF))
ANNA = STAFF.issue(common_name="anna", organization="Example")
ABC, REVOKED = STAFF.issue(common_name="abc"), STAFF.issue(common_name="revoked")
EXPIRED, STRANGER = STAFF.issue(common_name="late", days=-1), OTHERS.issue(common_name="anna")
DEEP, ONE_DEEP = MIDDLE.issue(common_name="deep"), Authority("first", STAFF).issue(common_name="one")
ALONE = key_pair(common_name="anna")
OLD, NEW = "2020-01-01T00:00:00Z", "2024-01-01T00:00:00Z"


def host(name: str, secret: str = "default/staff", service: str = "app", **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    if secret:
        written["auth-tls-secret"] = secret
    return ingress(name, (f"{name}.test", "/", "Prefix", service), annotations=written)


def second(name: str, created: str, **annotations: str) -> Object:
    """Another Ingress of the host, with a path of its own."""
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(f"{name}-2", (f"{name}.test", "/two", "Prefix", "app"), annotations=written, created=created)


def first(name: str, created: str, **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(f"{name}-1", (f"{name}.test", "/one", "Prefix", "app"), annotations=written, created=created)


SECRETS = [
    secret("staff", ca_crt=STAFF.pem),
    secret("others", ca_crt=OTHERS.pem),
    secret("both", ca_crt=OTHERS.pem + STAFF.pem, tls_crt=b"not looked at"),
    secret("revoking", ca_crt=STAFF.pem, ca_crl=STAFF.revoking(REVOKED)),
    secret("bad-crl", ca_crt=STAFF.pem, ca_crl=b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
    secret("no-ca", tls_crt=STAFF.pem),
    secret("bad-ca", ca_crt=b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"),
    secret("empty-ca", ca_crt=b""),
    secret("staff", namespace="other", ca_crt=STAFF.pem),
    secret("rotated", ca_crt=STAFF.pem),
]

HOSTS = [
    host("open", ""),
    host("on"),
    host("both", "default/both"),
    host("optional", auth_tls_verify_client="optional"),
    host("any", auth_tls_verify_client="optional_no_ca"),
    host("off", auth_tls_verify_client="off"),
    host("odd", auth_tls_verify_client="sometimes"),
    host("pass", auth_tls_pass_certificate_to_upstream="true"),
    host("pass-off", auth_tls_pass_certificate_to_upstream="false"),
    host("pass-odd", auth_tls_pass_certificate_to_upstream="maybe"),
    host("depth-1"),
    host("depth-2", auth_tls_verify_depth="2"),
    host("depth-0", auth_tls_verify_depth="0"),
    host("depth-odd", auth_tls_verify_depth="many"),
    host("crl", "default/revoking"),
    host("cn", auth_tls_match_cn="CN=(anna|bert)"),
    host("cn-part", auth_tls_match_cn="CN=ab"),
    host("cn-exact", auth_tls_match_cn="CN=ab$"),
    host("cn-case", auth_tls_match_cn="CN=ANNA"),
    host("cn-org", auth_tls_match_cn="CN=anna,O=Example"),
    host("cn-optional", auth_tls_match_cn="CN=anna", auth_tls_verify_client="optional"),
    host("cn-alone", "", auth_tls_match_cn="CN=nobody"),
    host("page", auth_tls_error_page="https://help.test/certificates"),
    host("page-host", auth_tls_error_page="help.test/certificates"),
    host("page-path", auth_tls_error_page="/certificates"),
    host("page-named", auth_tls_error_page="@help"),
    host("page-query", auth_tls_error_page="https://help.test/?a=$ssl_client_cert"),
    host("held", service="held"),
    host("late", "default/late"),
    host("rotated", "default/rotated"),
    host("cn-1", auth_tls_match_cn="CN=abc ){ return 418; } if ($host ~ x"),
    host("cn-2", auth_tls_match_cn="CN=abc #(\n){}\n }}\nreturn 418;\n#"),
    host("cn-3", auth_tls_match_cn='CN=a"; return 418; "'),
    host("cn-4", auth_tls_match_cn="CN=(unclosed"),
    host("cn-5", auth_tls_match_cn="anna"),
    host("cn-6", auth_tls_match_cn="CN=" + "a" * 300),
    host("cn-7", auth_tls_match_cn=r"CN=(?i)\u0041"),
    ingress(
        "secure", ("secure.test", "/", "Prefix", "app"), tls=[{"hosts": ["secure.test"]}],
        annotations={"auth-tls-secret": "default/staff", "auth-tls-match-cn": "CN=anna"},
    ),
    *(host(f"broken-{name}", f"default/{name}") for name in ("absent", "no-ca", "bad-ca", "empty-ca", "bad-crl")),
    host("broken-foreign", "other/staff"),
    host("broken-bare", "staff"),
    host("broken-injected", 'default/staff"; return 418; "'),
    first("whole", OLD, auth_tls_secret="default/absent"),
    second("whole", NEW),
    first("younger", OLD, auth_tls_secret="default/staff"),
    second("younger", NEW, auth_tls_secret="default/absent"),
    first("oldest", NEW, auth_tls_secret="default/others"),
    second("oldest", OLD, auth_tls_secret="default/staff"),
    first("covers", NEW, auth_tls_secret="default/staff"),
    second("covers", OLD),
    ingress("wild", ("*.wild.test", "/", "Prefix", "app"), annotations={"auth-tls-secret": "default/staff"}),
    ingress("tame", ("tame.wild.test", "/", "Prefix", "app")),
    ingress("alias", ("alias.test", "/", "Prefix", "app"),
            annotations={"auth-tls-secret": "default/staff", "server-alias": "nickname.test"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def pod(backends: Backends) -> Backend:
    return backends.start("app")


@pytest.fixture(scope="module")
def headrace(run: Run, pod: Backend) -> Headrace:
    return run(*HOSTS, *SECRETS, *app("app", pod), service("held"), slice_of("held"))


def ask(
    headrace: Headrace,
    url: str,
    pair: Pair | None = None,
    *,
    sni: str | None = "",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    version: ssl.TLSVersion | None = None,
) -> Answer:
    """`url` is `name/path`; the name is for Host, and for the handshake unless `sni` says otherwise (None: no name)."""
    name, _, path = url.partition("/")
    server_name = name.partition(":")[0] if sni == "" else sni
    connection = http.client.HTTPConnection("127.0.0.1", headrace.https, timeout=10)
    plain = socket.create_connection(("127.0.0.1", headrace.https), timeout=10)
    connection.sock = client_context(pair, version).wrap_socket(plain, server_hostname=server_name)
    try:
        connection.request(method, f"/{path}", body=body, headers={"Host": name, **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def told(answer: Answer) -> dict[str, str]:
    """The headers about the certificate that the pod got."""
    assert answer.status == 200, answer
    headers: dict[str, str] = answer.json["headers"]
    return {name: value for name, value in headers.items() if name.startswith("ssl-client")}


def findings(headrace: Headrace, name: str) -> list[dict[str, Any]]:
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    return [finding for finding in report if finding["object"]["name"] == name]


# -- who gets in


@pytest.mark.shows("auth-tls-secret")
@pytest.mark.parametrize("name", ["on", "both", "odd"])
def test_those_with_a_certificate_get_in(headrace: Headrace, name: str) -> None:
    assert ask(headrace, f"{name}.test/", ANNA).backend == "app"
    assert ask(headrace, f"{name}.test/any/path", ANNA, method="POST", body=b"x").backend == "app"


@pytest.mark.shows("auth-tls-secret", "auth-tls-verify-client")
@pytest.mark.parametrize("name", ["on", "odd"])
@pytest.mark.parametrize("pair", [None, STRANGER, EXPIRED, ALONE], ids=["none", "stranger", "expired", "self-signed"])
def test_all_others_do_not(headrace: Headrace, name: str, pair: Pair | None) -> None:
    answer = ask(headrace, f"{name}.test/", pair)
    assert answer.status == 400 and answer.backend is None


@pytest.mark.shows("auth-tls-secret")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_every_version_of_tls(headrace: Headrace, version: ssl.TLSVersion) -> None:
    assert ask(headrace, "on.test/", ANNA, version=version).status == 200
    assert ask(headrace, "on.test/", version=version).status == 400


@pytest.mark.shows("auth-tls-verify-client")
def test_a_mode_that_does_not_exist_is_told(headrace: Headrace) -> None:
    assert [finding["code"] for finding in findings(headrace, "odd")] == ["annotation-invalid"]


@pytest.mark.shows("auth-tls-verify-client")
def test_optional(headrace: Headrace) -> None:
    assert told(ask(headrace, "optional.test/")) == {"ssl-client-verify": "NONE"}
    assert told(ask(headrace, "optional.test/", ANNA))["ssl-client-verify"] == "SUCCESS"
    assert ask(headrace, "optional.test/", STRANGER).status == 400


@pytest.mark.shows("auth-tls-verify-client")
def test_optional_without_an_authority(headrace: Headrace) -> None:
    assert told(ask(headrace, "any.test/")) == {"ssl-client-verify": "NONE"}
    assert told(ask(headrace, "any.test/", ANNA))["ssl-client-verify"] == "SUCCESS"
    stranger = told(ask(headrace, "any.test/", STRANGER))
    assert stranger["ssl-client-verify"].startswith("FAILED:") and "CN=anna" in stranger["ssl-client-subject-dn"]


@pytest.mark.shows("auth-tls-verify-client")
def test_off(headrace: Headrace) -> None:
    assert told(ask(headrace, "off.test/")) == told(ask(headrace, "off.test/", ANNA)) == {"ssl-client-verify": "NONE"}


@pytest.mark.shows("auth-tls-verify-depth")
@pytest.mark.parametrize(
    ("name", "pair", "status"),
    [
        ("depth-1", ONE_DEEP, 200),
        ("depth-1", DEEP, 400),
        ("depth-2", DEEP, 200),
        ("depth-0", ONE_DEEP, 200),
        ("depth-0", DEEP, 400),
        ("depth-odd", ONE_DEEP, 200),
    ],
)
def test_how_many_authorities_may_stand_between(headrace: Headrace, name: str, pair: Pair, status: int) -> None:
    assert ask(headrace, f"{name}.test/", pair).status == status


@pytest.mark.shows("auth-tls-secret")
def test_certificates_that_were_revoked(headrace: Headrace) -> None:
    assert ask(headrace, "crl.test/", ANNA).status == 200
    assert ask(headrace, "crl.test/", REVOKED).status == 400
    assert ask(headrace, "on.test/", REVOKED).status == 200


# -- what pods hear


@pytest.mark.shows("auth-tls-secret")
def test_what_the_pod_is_told(headrace: Headrace) -> None:
    assert told(ask(headrace, "on.test/", ANNA)) == {
        "ssl-client-verify": "SUCCESS",
        "ssl-client-subject-dn": "O=Example,CN=anna",
        "ssl-client-issuer-dn": "CN=staff",
    }


FORGED = {
    "ssl-client-verify": "SUCCESS",
    "ssl-client-subject-dn": "CN=admin",
    "ssl-client-issuer-dn": "CN=x",
    "ssl-client-cert": "x",
}


@pytest.mark.shows("auth-tls-secret", "auth-tls-pass-certificate-to-upstream")
@pytest.mark.parametrize("name", ["open", "optional", "off", "pass-off"])
def test_what_clients_forge_does_not_arrive(headrace: Headrace, name: str) -> None:
    found = told(ask(headrace, f"{name}.test/", ANNA if name == "pass-off" else None, headers=FORGED))
    assert not {"CN=admin", "CN=x", "x"} & set(found.values())
    assert name == "pass-off" or found.get("ssl-client-verify", "NONE") == "NONE"
    assert not told(headrace.get(f"http://{name}.test/", headers=FORGED))


@pytest.mark.shows("auth-tls-pass-certificate-to-upstream")
def test_the_certificate_itself(headrace: Headrace) -> None:
    sent = told(ask(headrace, "pass.test/", ANNA, headers=FORGED))["ssl-client-cert"]
    assert sent.startswith("-----BEGIN%20CERTIFICATE-----%0A")
    assert unquote(sent).encode() == ANNA[0]


@pytest.mark.shows("auth-tls-pass-certificate-to-upstream")
@pytest.mark.parametrize("name", ["on", "pass-off", "pass-odd"])
def test_the_certificate_only_where_it_is_asked_for(headrace: Headrace, name: str) -> None:
    assert "ssl-client-cert" not in told(ask(headrace, f"{name}.test/", ANNA))


@pytest.mark.shows("auth-tls-secret")
def test_a_held_request_tells_the_same(headrace: Headrace, pod: Backend) -> None:
    headrace.write("held.yaml", slice_at("held", ("127.0.0.1", free_port()), suffix="2"))
    time.sleep(1.2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, headrace, "held.test/", ANNA, headers=FORGED)
        time.sleep(0.4)
        assert not waiting.done()
        headrace.write("held.yaml", slice_at("held", (pod.host, pod.port), suffix="2"))
        assert told(waiting.result()) == told(ask(headrace, "on.test/", ANNA))


@pytest.mark.shows("auth-tls-secret")
def test_the_name_of_a_call_over_http_2(headrace: Headrace) -> None:
    for name, status in (("on.test", 200), ("open.test", 421), ("cn.test", 421)):
        with GrpcCall(headrace.https, name, "/", context=client_context(ANNA), sni="on.test") as going:
            going.send(end=True)
            assert going.finish().status == status


# -- names in certificates


@pytest.mark.shows("auth-tls-match-cn")
@pytest.mark.parametrize(
    ("name", "pair", "status"),
    [
        ("cn", ANNA, 200),
        ("cn", ABC, 403),
        ("cn-part", ABC, 200),
        ("cn-exact", ABC, 403),
        ("cn-case", ANNA, 403),
        ("cn-org", ANNA, 403),
        ("cn-optional", ANNA, 200),
        ("cn-optional", ABC, 403),
        ("cn-optional", None, 403),
        ("cn-alone", None, 200),
        ("cn", None, 400),
    ],
)
def test_names_that_match(headrace: Headrace, name: str, pair: Pair | None, status: int) -> None:
    answer = ask(headrace, f"{name}.test/", pair)
    assert answer.status == status
    if status == 403:
        assert answer.body == b"client certificate unauthorized"


@pytest.mark.shows("auth-tls-match-cn")
@pytest.mark.parametrize("number", range(1, 8))
def test_names_that_cannot_be_matched_close_the_host(headrace: Headrace, number: int) -> None:
    assert ask(headrace, f"cn-{number}.test/", ANNA).status == 403
    assert headrace.get(f"http://cn-{number}.test/").status == 403
    assert [finding["code"] for finding in findings(headrace, f"cn-{number}")] == ["annotation-closes-route"]


@pytest.mark.shows("auth-tls-match-cn")
def test_without_tls_there_is_no_name_to_match(headrace: Headrace) -> None:
    assert headrace.get("http://cn.test/").status == 403
    assert headrace.get("http://cn-alone.test/").status == 200
    assert headrace.get("http://secure.test/x").headers["location"] == f"https://secure.test:{headrace.https}/x"
    assert headrace.get("http://on.test/").status == 200, "as in ingress-nginx: only TLS asks for certificates"


# -- error pages


@pytest.mark.shows("auth-tls-error-page")
@pytest.mark.parametrize("name", ["page", "page-host"])
@pytest.mark.parametrize("pair", [None, STRANGER], ids=["none", "stranger"])
def test_those_who_do_not_get_in_are_sent_elsewhere(headrace: Headrace, name: str, pair: Pair | None) -> None:
    answer = ask(headrace, f"{name}.test/x?y", pair)
    assert (answer.status, answer.headers["location"]) == (302, "https://help.test/certificates")
    assert ask(headrace, f"{name}.test/", ANNA).status == 200


@pytest.mark.shows("auth-tls-error-page")
def test_a_page_of_the_host_itself(headrace: Headrace) -> None:
    answer = ask(headrace, "page-path.test/private", headers=FORGED)
    assert answer.json["target"].startswith("/certificates")
    assert told(answer) == {"ssl-client-verify": "NONE"}


@pytest.mark.shows("auth-tls-error-page")
@pytest.mark.parametrize("name", ["page-named", "page-query"])
def test_a_page_that_cannot_be_shown(headrace: Headrace, name: str) -> None:
    assert ask(headrace, f"{name}.test/").status == 400
    assert ask(headrace, f"{name}.test/", ANNA).status == 200
    assert [finding["code"] for finding in findings(headrace, name)] == ["annotation-invalid"]


# -- settings that cannot be honoured


@pytest.mark.shows("auth-tls-secret")
@pytest.mark.parametrize("name", ["absent", "no-ca", "bad-ca", "empty-ca", "bad-crl", "foreign", "bare", "injected"])
def test_a_secret_that_cannot_be_used_closes_the_host(headrace: Headrace, name: str) -> None:
    assert ask(headrace, f"broken-{name}.test/", ANNA).status == 403
    assert headrace.get(f"http://broken-{name}.test/").status == 403
    (finding,) = findings(headrace, f"broken-{name}")
    assert finding["code"] == "annotation-closes-route" and "auth-tls-secret" in finding["field"]


@pytest.mark.shows("auth-tls-secret")
def test_that_is_the_whole_host(headrace: Headrace) -> None:
    for path in ("one", "two", "else"):
        assert ask(headrace, f"whole.test/{path}", ANNA).status == 403
    assert headrace.get("http://whole.test/two").status == 200, "over HTTPS only"
    assert ask(headrace, "open.test/").status == 200, "other hosts are not touched"


@pytest.mark.shows("auth-tls-secret")
def test_a_younger_ingress_closes_only_its_own_paths(headrace: Headrace) -> None:
    assert ask(headrace, "younger.test/one", ANNA).status == 200
    assert ask(headrace, "younger.test/one").status == 400
    assert ask(headrace, "younger.test/two", ANNA).status == 403


@pytest.mark.shows("auth-tls-secret")
@pytest.mark.parametrize("path", ["one", "two"])
def test_the_oldest_ingress_decides(headrace: Headrace, path: str) -> None:
    assert ask(headrace, f"oldest.test/{path}", ANNA).status == 200
    assert ask(headrace, f"oldest.test/{path}", STRANGER).status == 400


@pytest.mark.shows("auth-tls-secret")
@pytest.mark.parametrize("path", ["one", "two"])
def test_paths_of_others_are_covered(headrace: Headrace, path: str) -> None:
    assert ask(headrace, f"covers.test/{path}").status == 400
    assert told(ask(headrace, f"covers.test/{path}", ANNA))["ssl-client-verify"] == "SUCCESS"


# -- other doors


@pytest.mark.shows("auth-tls-secret")
@pytest.mark.parametrize("pair", [None, ANNA], ids=["none", "anna"])
@pytest.mark.parametrize(
    ("sni", "asked", "status"),
    [
        ("open.test", "on.test", 421),
        ("on.test", "open.test", 421),
        ("cn.test", "on.test", 421),
        ("unknown.test", "on.test", 421),
        (None, "optional.test", 421),
        ("unknown.test", "any.test", 421),
        ("open.test", "any.test", 421),
        ("off.test", "open.test", 200),
        (None, "on.test", 421),
        (None, "open.test", 200),
        ("unknown.test", "open.test", 200),
        ("open.test", "tame.wild.test", 200),
        ("x.wild.test", "tame.wild.test", 421),
        ("x.wild.test", "y.wild.test", 421),
        ("tame.wild.test", "x.wild.test", 421),
        ("open.test", "nickname.test", 421),
        ("open.test", "cn-alone.test", 200),
    ],
)
def test_the_name_of_the_handshake_must_be_that_of_the_request(
    headrace: Headrace, sni: str | None, asked: str, status: int, pair: Pair | None
) -> None:
    assert ask(headrace, f"{asked}/", pair, sni=sni).status == status


@pytest.mark.shows("auth-tls-secret")
@pytest.mark.parametrize(
    ("sni", "asked"),
    [
        ("on.test", "on.test:443"),
        ("on.test", "ON.test"),
        ("ON.test", "on.test"),
        ("on.test", "on.test."),
        ("x.wild.test", "x.wild.test"),
        ("alias.test", "alias.test"),
        ("nickname.test", "nickname.test"),
    ],
)
def test_ways_to_write_the_same_name(headrace: Headrace, sni: str, asked: str) -> None:
    assert ask(headrace, f"{asked}/", ANNA, sni=sni).status == 200
    assert ask(headrace, f"{asked}/", sni=sni).status == 400


# -- changes


@pytest.mark.shows("auth-tls-secret")
def test_a_secret_that_comes_and_goes(headrace: Headrace) -> None:
    assert ask(headrace, "late.test/", ANNA).status == 403
    headrace.write("late.yaml", secret("late", ca_crt=STAFF.pem))
    headrace.until(lambda: ask(headrace, "late.test/", ANNA).status == 200)
    assert ask(headrace, "late.test/").status == 400
    (headrace.manifests / "late.yaml").unlink()
    headrace.until(lambda: ask(headrace, "late.test/", ANNA).status == 403)


def take_up(
    headrace: Headrace, name: str, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bytes, ssl.SSLSession | None, bool | None]:
    """One request, in a session from before if there is one: its status, the session, and whether it was taken up."""
    plain = socket.create_connection(("127.0.0.1", headrace.https), timeout=5)
    with context.wrap_socket(plain, server_hostname=name, session=session) as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return tls.recv(4096).split(b" ")[1], tls.session, tls.session_reused


@pytest.mark.shows("auth-tls-secret")
def test_an_authority_that_is_rotated(headrace: Headrace, pod: Backend) -> None:
    """The new one has the same name and another key."""
    newcomer = NEXT.issue(common_name="newcomer")
    assert ask(headrace, "rotated.test/", ANNA).status == 200
    assert ask(headrace, "rotated.test/", newcomer).status == 400
    context, session = client_context(ANNA, ssl.TLSVersion.TLSv1_2), None
    for turn in range(2):
        status, session, resumed = take_up(headrace, "rotated.test", context, session)
        assert (status, resumed) == (b"200", turn > 0)
    kept = [document for document in SECRETS if document["metadata"]["name"] != "rotated"]
    common = (*HOSTS, *kept, *app("app", pod), service("held"), slice_of("held"))
    headrace.write("objects.yaml", *common, secret("rotated", ca_crt=NEXT.pem))
    headrace.until(lambda: ask(headrace, "rotated.test/", newcomer).status == 200)
    assert ask(headrace, "rotated.test/", ANNA).status == 400
    assert take_up(headrace, "rotated.test", context, session)[::2] == (b"400", False), "nor with a session from before"
    revoked = secret("rotated", ca_crt=NEXT.pem, ca_crl=NEXT.revoking(newcomer))
    headrace.write("objects.yaml", *common, revoked)
    headrace.until(lambda: ask(headrace, "rotated.test/", newcomer).status == 400)


@pytest.mark.shows("auth-tls-secret")
def test_a_catch_all_that_asks_for_certificates(run: Run, pod: Backend) -> None:
    headrace = run(
        ingress("all", ("", "/", "Prefix", "app"), annotations={"auth-tls-secret": "default/staff"}),
        host("open", ""),
        host("on"),
        *SECRETS,
        *app("app", pod),
    )
    for sni, asked in (("unknown.test", "unknown.test"), (None, "unknown.test"), (None, "127.0.0.1")):
        assert ask(headrace, f"{asked}/", ANNA, sni=sni).status == 200
        assert ask(headrace, f"{asked}/", sni=sni).status == 400
    assert ask(headrace, "open.test/").status == 200
    assert ask(headrace, "unknown.test/", sni="open.test").status == 421
    assert ask(headrace, "open.test/", ANNA, sni=None).status == 421
    assert ask(headrace, "on.test/", ANNA, sni=None).status == 421
