"""Names and passwords: who gets in, what the pod learns of it, and what closes a path instead of leaving it open."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, ingress

pytestmark = pytest.mark.shows("auth-type", "auth-secret")

PREFIX = "Prefix"
PASSWORD = "correct horse"


def sha(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


def credentials(user: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def secret(name: str, namespace: str = "default", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def guarded(host: str, path: str = "/", path_type: str = PREFIX, **annotations: str) -> Object:
    written = {"auth-type": "basic", "auth-secret": "users"} | {k.replace("_", "-"): v for k, v in annotations.items()}
    kept = {key: value for key, value in written.items() if value}
    return ingress(host.removesuffix(".test"), (host, path, path_type, "app"), annotations=kept)


SCHEMES = f"""
# users
sha:{sha("pw")}
comment:{sha("pw")}:Ann, of the third floor
apr:$apr1$saltsalt$x78Y39ym2RjUNQHTLgwHz/
six:$6$saltsalt$pauPrmdmG4BTE9h2HPmywiw152IFch6BJCEsaY6D.PLTfpV8sqvXwWdyfsgVgozkYH9B80bAip/08R2BPH2xk/
bcrypt:$2y$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q
plain:{{PLAIN}}pw
costly:$2y$13$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234
many-rounds:$6$rounds=999999$saltsalt$pauPrmdmG4BTE9h2HPmywiw152IFch6BJCEsaY6D.PLTfpV8sqvXwWdyfsgVgozkYH9B80bAip/08R2BPH2xk/
#sha:{sha("pw")}
"""

CLOSED = {
    "digest.test": {"auth_type": "digest"},
    "word.test": {"auth_type": "Basic"},
    "kerberos.test": {"auth_type": "kerberos"},
    "no-secret.test": {"auth_secret": ""},
    "missing.test": {"auth_secret": "nobody"},
    "bad-reference.test": {"auth_secret": "a/b/c"},
    "odd-reference.test": {"auth_secret": "../users"},
    "foreign.test": {"auth_secret": "other/users"},
    "no-key.test": {"auth_secret": "without-key"},
    "bad-type.test": {"auth_secret_type": "auth-table"},
    "bad-realm.test": {"auth_realm": 'x"; auth_basic off'},
    "line-realm.test": {"auth_realm": "one\ntwo"},
    "dollar-realm.test": {"auth_realm": "$host"},
    "off.test": {"auth_realm": "off"},
    "huge.test": {"auth_secret": "huge"},
}


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    users = f"ann:{sha(PASSWORD)}\nplain:{{PLAIN}}{PASSWORD}\nmalformed\nempty:\n"
    running = run(
        guarded("basic.test"),
        guarded("own-namespace.test", auth_secret="default/users"),
        guarded("realm.test", auth_realm="Members only"),
        guarded("short-realm.test", auth_realm="Off"),
        guarded("bad-user.test", auth_secret="bad-map", auth_secret_type="auth-map"),
        guarded("bad-value.test", auth_secret="bad-lines", auth_secret_type="auth-map"),
        guarded("schemes.test", auth_secret="schemes"),
        secret("schemes", auth=SCHEMES),
        secret("huge", auth=f"ann:{sha(PASSWORD)}\n" + "#" * 1_100_000),
        guarded("map.test", auth_secret="table", auth_secret_type="auth-map"),
        guarded("file.test", auth_secret_type="auth-file"),
        guarded("cors.test", enable_cors="true"),
        guarded("any.test", satisfy="any", allowlist_source_range="127.0.0.1"),
        guarded("any-outside.test", satisfy="any", allowlist_source_range="10.0.0.1"),
        guarded("all.test", satisfy="all", allowlist_source_range="127.0.0.1"),
        guarded("all-outside.test", satisfy="all", allowlist_source_range="10.0.0.1"),
        guarded("denied-any.test", satisfy="any", denylist_source_range="127.0.0.1"),
        guarded("odd-satisfy.test", satisfy="none", allowlist_source_range="127.0.0.1"),
        guarded("errors.test", custom_http_errors="401", default_backend="errors"),
        guarded("away.test", permanent_redirect="https://else.example"),
        guarded("acme.test", "/.well-known/acme-challenge/token"),
        guarded("rewritten.test", "/api(/|$)(.*)", "ImplementationSpecific", rewrite_target="/$2", use_regex="true"),
        *(guarded(host, **annotations) for host, annotations in CLOSED.items()),
        ingress("no-type", ("no-type.test", "/", PREFIX, "app"), annotations={"auth-secret": "users"}),
        ingress("mixed-closed", ("mixed.test", "/closed", PREFIX, "app"),
                annotations={"auth-type": "basic", "auth-secret": "nobody"}),
        ingress("mixed-open", ("mixed.test", "/open", PREFIX, "app")),
        ingress("mixed-guarded", ("mixed.test", "/guarded", PREFIX, "app"),
                annotations={"auth-type": "basic", "auth-secret": "users"}),
        ingress("plain", ("plain.test", "/", PREFIX, "app")),
        secret("users", auth=users),
        secret("users", "other", auth=users),
        secret("without-key", passwords=users),
        secret("table", ann=sha(PASSWORD), bob=sha(PASSWORD) + "\n"),
        secret("bad-map", **{"a:b": sha(PASSWORD)}),
        secret("bad-lines", ann="x\nroot:{PLAIN}x"),
        *app("app", backends.start("app")),
        *app("errors", backends.start("errors")),
    )  # fmt: skip
    yield running


@pytest.mark.parametrize(
    "host", ["basic.test", "own-namespace.test", "file.test", "map.test", "all.test", "odd-satisfy.test"]
)
def test_nobody_gets_in_without_a_password(headrace: Headrace, host: str) -> None:
    answer = headrace.get(f"http://{host}/")
    assert answer.status == 401 and answer.headers["www-authenticate"] == 'Basic realm=""'
    assert headrace.get(f"http://{host}/", headers=credentials("ann", "wrong")).status == 401
    assert headrace.get(f"http://{host}/", headers=credentials("nobody")).status == 401
    assert headrace.get(f"http://{host}/", headers={"Authorization": "Bearer x"}).status == 401
    welcome = headrace.get(f"http://{host}/x", headers=credentials("ann"))
    assert (welcome.status, welcome.backend) == (200, "app")
    assert "authorization" not in welcome.json["headers"], "the pod does not learn the password"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_every_method_is_guarded(headrace: Headrace, method: str) -> None:
    body = b"content" if method in ("POST", "PUT") else None
    assert headrace.get("http://basic.test/", method=method, body=body).status == 401
    assert headrace.get("http://basic.test/", method=method, body=body, headers=credentials("ann")).status == 200


@pytest.mark.parametrize("user", ["malformed", "empty", "", "#", "plain2"])
@pytest.mark.parametrize("password", ["", "x"])
def test_lines_that_are_no_users_let_nobody_in(headrace: Headrace, user: str, password: str) -> None:
    assert headrace.get("http://basic.test/", headers=credentials(user, password)).status == 401


@pytest.mark.parametrize(
    ("user", "gets_in"),
    [("sha", True), ("apr", True), ("six", True), ("bcrypt", True), ("comment", True),
     ("plain", False), ("costly", False), ("many-rounds", False), ("#sha", False)],
)  # fmt: skip
def test_hashes_of_known_schemes(headrace: Headrace, user: str, gets_in: bool) -> None:
    answer = headrace.get("http://schemes.test/", headers=credentials(user, "pw"))
    assert answer.status == (200 if gets_in else 401)


@pytest.mark.parametrize(
    ("host", "user"), [("bad-user.test", "a:b"), ("bad-value.test", "root"), ("bad-value.test", "ann")]
)
def test_entries_that_are_no_users_let_nobody_in(headrace: Headrace, host: str, user: str) -> None:
    for password in ("x", PASSWORD, ""):
        assert headrace.get(f"http://{host}/", headers=credentials(user, password)).status == 401
    name = host.removesuffix(".test")
    assert any(f'"name":"{name}"' in line and "cannot log in" in line for line in headrace.log.read_text().splitlines())


@pytest.mark.shows("auth-realm")
@pytest.mark.parametrize(
    ("host", "realm"), [("realm.test", "Members only"), ("short-realm.test", "Off"), ("basic.test", "")]
)
def test_the_realm(headrace: Headrace, host: str, realm: str) -> None:
    answer = headrace.get(f"http://{host}/")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, f'Basic realm="{realm}"')
    assert headrace.get(f"http://{host}/", headers=credentials("ann")).status == 200


@pytest.mark.shows("auth-secret-type")
@pytest.mark.parametrize("user", ["ann", "bob"])
def test_a_secret_with_a_key_for_each_user(headrace: Headrace, user: str) -> None:
    assert headrace.get("http://map.test/", headers=credentials(user)).status == 200
    assert headrace.get("http://map.test/", headers=credentials(user, "wrong")).status == 401


@pytest.mark.shows("auth-realm", "auth-secret-type")
@pytest.mark.parametrize("host", CLOSED)
def test_what_cannot_be_honoured_closes_the_path_and_is_told(headrace: Headrace, host: str) -> None:
    for headers in ({}, credentials("ann"), credentials("a", "x")):
        assert headrace.get(f"http://{host}/", headers=headers).status == 503
    name = host.removesuffix(".test")
    assert any(f'"name":"{name}"' in line and "auth-" in line for line in headrace.log.read_text().splitlines())


def test_digest_is_told_what_to_use_instead(headrace: Headrace) -> None:
    assert "auth-type digest is not supported; use basic over TLS or auth-url" in headrace.log.read_text()


def test_only_the_paths_of_that_ingress_close(headrace: Headrace) -> None:
    assert headrace.get("http://mixed.test/closed").status == 503
    assert headrace.get("http://mixed.test/open").backend == "app"
    assert headrace.get("http://mixed.test/guarded").status == 401
    assert headrace.get("http://plain.test/").backend == "app"


def test_a_secret_alone_asks_nobody(headrace: Headrace) -> None:
    answer = headrace.get("http://no-type.test/", headers={"Authorization": "Bearer kept"})
    assert (answer.status, answer.json["headers"]["authorization"]) == (200, "Bearer kept")


@pytest.mark.shows("satisfy")
@pytest.mark.parametrize(
    ("host", "without", "with_password"),
    [
        ("any.test", 200, 200),
        ("any-outside.test", 401, 200),
        ("all.test", 401, 200),
        ("all-outside.test", 403, 403),
        ("denied-any.test", 401, 200),
        ("odd-satisfy.test", 401, 200),
    ],
)
def test_lists_and_passwords_together(headrace: Headrace, host: str, without: int, with_password: int) -> None:
    assert headrace.get(f"http://{host}/").status == without
    assert headrace.get(f"http://{host}/", headers=credentials("ann")).status == with_password
    assert headrace.get(f"http://{host}/", headers=credentials("ann", "wrong")).status in (without, 401)


def test_a_preflight_needs_no_password(headrace: Headrace) -> None:
    assert headrace.get("http://cors.test/", method="OPTIONS", headers={"Origin": "https://a.example"}).status == 204
    refused = headrace.get("http://cors.test/", headers={"Origin": "https://a.example"})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "*")


def test_an_error_page_tells_that_the_password_is_missing(headrace: Headrace) -> None:
    answer = headrace.get("http://errors.test/")
    assert (answer.backend, answer.json["headers"]["x-code"]) == ("errors", "401")
    assert "www-authenticate" in answer.headers
    assert headrace.get("http://errors.test/", headers=credentials("ann")).backend == "app"


def test_a_redirect_asks_for_no_password(headrace: Headrace) -> None:
    assert headrace.get("http://away.test/x").status == 301


@pytest.mark.shows("configmap:no-auth-locations")
def test_challenges_of_acme_need_no_password(headrace: Headrace) -> None:
    assert headrace.get("http://acme.test/.well-known/acme-challenge/token").backend == "app"


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/x", "/API/x", "/api/%2e%2e/api/x", "//api/x"])
def test_no_form_of_a_path_goes_around(headrace: Headrace, path: str) -> None:
    assert headrace.get(f"http://rewritten.test{path}").status == 401


def test_a_secret_that_appears_opens_and_a_new_password_needs_no_reload(headrace: Headrace) -> None:
    def gets_in(password: str) -> bool:
        return headrace.get("http://later.test/", headers=credentials("ann", password)).status == 200

    later = guarded("later.test", auth_secret="soon")
    headrace.write("later.yaml", later)
    headrace.until(lambda: headrace.get("http://later.test/").status == 503)
    headrace.write("later.yaml", later, secret("soon", auth=f"ann:{sha('one')}"))
    headrace.until(lambda: gets_in("one"))
    reloads = settled(headrace)
    for old, new in (("one", "two"), ("two", "three")):
        headrace.write("later.yaml", later, secret("soon", auth=f"ann:{sha(new)}"))
        headrace.until(lambda new=new: gets_in(new))
        assert not gets_in(old)
    assert settled(headrace) == reloads
    headrace.write("later.yaml", later)
    headrace.until(lambda: headrace.get("http://later.test/", headers=credentials("ann", "three")).status == 503)


def settled(headrace: Headrace) -> float:
    """How often nginx has been reloaded, once that does not change any more."""
    count = -1.0
    while (found := headrace.metric("headrace_reloads_total")) != count:
        count = found
        time.sleep(0.5)
    assert count > 0
    return count


def test_the_file_of_users_can_be_read_by_nobody_else(headrace: Headrace) -> None:
    modes = set()
    for path in headrace.directory.rglob("*.users"):
        with suppress(FileNotFoundError):  # one that nobody needs any more goes away meanwhile
            modes.add(path.stat().st_mode & 0o777)
    assert modes == {0o600}
    assert sha(PASSWORD) not in headrace.log.read_text()
