"""Keys of the ConfigMap as clients and operators feel them: headers, who is turned away, logs, TLS, sockets."""

from __future__ import annotations

import base64
import gzip
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.live.auth_service import AuthService
from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import (
    CONFIGMAP,
    Object,
    app,
    configmap,
    ingress,
    key_pair,
    service,
    slice_at,
    tls_secret,
)  # fmt: skip
from controller.tests.live.parameters import DH_2048

TICKET_KEY = base64.b64encode(bytes(range(80))).decode()


class Syslog:
    """A syslog server over UDP: what it got so far."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.lines: list[str] = []

    @property
    def port(self) -> int:
        found: int = self.socket.getsockname()[1]
        return found

    def line_with(self, mark: str, seconds: float = 4) -> str:
        """The first line that holds the mark, or nothing where none comes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = next((line for line in self.lines if mark in line), "")
            if found:
                return found
            try:
                self.lines.append(self.socket.recv(65_536).decode(errors="replace"))
            except TimeoutError:
                continue
        return ""


@pytest.fixture(scope="module")
def access() -> Iterator[Syslog]:
    log = Syslog()
    yield log
    log.socket.close()


@pytest.fixture(scope="module")
def errors() -> Iterator[Syslog]:
    log = Syslog()
    yield log
    log.socket.close()


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthService]:
    with AuthService() as running:
        yield running


@pytest.fixture(scope="module")
def objects(backends: Backends, auth: AuthService) -> list[Object]:
    one = backends.start("one")
    guarded = {"auth-url": "http://auth.default.svc.cluster.local:80/auth"}
    return [
        ingress("app", ("app.test", "/", "Prefix", "one")),
        ingress("cors", ("cors.test", "/", "Prefix", "one"), annotations={"x-forwarded-prefix": "/x"}),
        ingress("tls", ("tls.test", "/", "Prefix", "one"), tls=[{"hosts": ["tls.test"], "secretName": "pair"}],
                annotations={"ssl-redirect": "false"}),
        ingress("guarded", ("guarded.test", "/", "Prefix", "one"), annotations=guarded),
        service("auth"), slice_at("auth", ("127.0.0.1", auth.port)),
        tls_secret("pair", key_pair("tls.test", kind="rsa")),
        *app("one", one),
    ]  # fmt: skip


def headers_object(name: str, **data: str) -> Object:
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {key.replace("_", "-"): value for key, value in data.items()},
    }  # fmt: skip


ADDED = {
    "X-Frame-Options": "DENY", "X-Cost": "5 EUR; \"a\\b\"", "X-Start": "t=${msec}", "X-Path": "$uri", "Server": "ours",
    "X-User": "$remote_user", "X-Unknown": "$nothing", "Content-Length": "7", "bad name": "x", "Vary": "Accept",
}  # fmt: skip
SENT = {
    "X-Request-Start": "t=${msec}", "X-Using": "headrace", "X-Real-IP": "0.0.0.0", "x-forwarded-prefix": "/p",
    "X-Proto": "$scheme", "X-Gone": "", "X-Inject": "$remote_user", "Transfer-Encoding": "chunked",
}  # fmt: skip


@pytest.fixture(scope="module")
def tuned(run: Run, objects: list[Object], access: Syslog, errors: Syslog) -> Iterator[Headrace]:
    settings = configmap(
        add_headers="default/added", proxy_set_headers="default/sent",
        hide_headers="X-Powered-By, x-aspnet-version,b ad",
        allow_backend_server_header="false", block_user_agents="curl/7.1, ~*(bad|worse)bot, ~^Scan[0-9]+$",
        block_referers="https://spam.example/, ~*\\.evil\\.example", forwarded_host_header="X-Former-Host",
        http_access_log_path=f"syslog:server=127.0.0.1:{access.port}", access_log_params="buffer=16k flush=1s",
        error_log_path=f"syslog:server=127.0.0.1:{errors.port}", error_log_level="info",
        skip_access_log_urls="/silent, ~^/quiet/[0-9]+", enable_auth_access_log="true",
        ssl_ecdh_curve="secp384r1", ssl_dh_param="default/dh", ssl_session_ticket_key=TICKET_KEY,
        ssl_session_tickets="true", ssl_early_data="true", ssl_protocols="TLSv1.2 TLSv1.3",
        use_gzip="true", gzip_types="application/json", gzip_disable="OldBrowser", gzip_min_length="10",
        bind_address="127.0.0.1,127.0.0.3,nonsense", reuse_port="true", default_type="text/x-default",
        grpc_buffer_size_kb="64", upstream_keepalive_time="1s", worker_cpu_affinity="auto",
        max_worker_open_files="4096",
               max_worker_connections="0", enable_aio_write="true", debug_connections="127.0.0.9/32",
        server_name_hash_max_size="2048", server_name_hash_bucket_size="256", map_hash_bucket_size="256",
        proxy_headers_hash_max_size="2048", proxy_headers_hash_bucket_size="512", variables_hash_bucket_size="512",
        variables_hash_max_size="4096", worker_processes="2", enable_serial_reloads="true",
    )  # fmt: skip
    dh = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "dh", "namespace": "default"}, "type": "Opaque",
        "data": {"dhparam.pem": base64.b64encode(DH_2048).decode()},
    }  # fmt: skip
    added, sent = headers_object("added"), headers_object("sent")
    added["data"], sent["data"] = ADDED, SENT
    yield run(*objects, settings, added, sent, dh, flags=CONFIGMAP)


@pytest.fixture(scope="module")
def plain(run: Run, objects: list[Object]) -> Iterator[Headrace]:
    settings = configmap(
        allow_backend_server_header="true", disable_http_access_log="true", add_headers="default/missing",
        proxy_set_headers="default/missing", ssl_dh_param="default/missing",
    )  # fmt: skip
    yield run(*objects, settings, flags=CONFIGMAP)


# -- headers


@pytest.mark.shows("configmap:add-headers")
@pytest.mark.parametrize("path", ["/", "/status/404", "/status/500"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("x-frame-options", "DENY"), ("x-cost", '5 EUR; "a\\b"'), ("server", "ours"), ("vary", "Accept")],
)
def test_headers_are_added_to_every_answer(tuned: Headrace, path: str, name: str, value: str) -> None:
    assert tuned.get(f"http://app.test{path}").headers.get(name) == value


@pytest.mark.shows("configmap:add-headers")
def test_an_added_header_may_hold_variables_and_never_a_decoded_one(tuned: Headrace) -> None:
    headers = tuned.get("http://app.test/a%0d%0ab").headers
    assert re.fullmatch(r"t=[0-9]{10}\.[0-9]{3}", headers["x-start"])
    assert headers["x-path"] == "/a%0d%0ab"
    assert not {"x-user", "x-unknown", "bad name"} & headers.keys()


@pytest.mark.shows("configmap:add-headers")
def test_an_added_header_takes_the_place_of_what_the_pod_says(tuned: Headrace) -> None:
    target = b"/?answer=X-Frame-Options:%20SAMEORIGIN"
    answer = tuned.raw(b"GET " + target + b" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"(?i)\r\nX-Frame-Options: (\w+)", answer) == [b"DENY"]


@pytest.mark.shows("configmap:add-headers")
def test_pages_of_nginx_itself_carry_them_too(tuned: Headrace) -> None:
    answer = tuned.get("http://nobody.test/")
    assert (answer.status, answer.headers["x-frame-options"]) == (404, "DENY")


@pytest.mark.shows("configmap:proxy-set-headers")
@pytest.mark.parametrize("host", ["app.test", "cors.test"])
@pytest.mark.parametrize(
    ("name", "value"), [("x-using", "headrace"), ("x-real-ip", "0.0.0.0"), ("x-proto", "http"), ("host", None)]
)
def test_headers_are_added_to_every_request(tuned: Headrace, host: str, name: str, value: str | None) -> None:
    assert tuned.get(f"http://{host}/").json["headers"].get(name) == (value or host)


@pytest.mark.shows("configmap:proxy-set-headers")
def test_a_request_header_may_hold_variables_and_never_break_the_request(tuned: Headrace) -> None:
    wicked = base64.b64encode(b"a\r\nX-Evil: 1\r\n:p").decode()
    sent = tuned.get("http://app.test/", headers={"Authorization": f"Basic {wicked}", "X-Gone": "x"}).json["headers"]
    assert re.fullmatch(r"t=[0-9]{10}\.[0-9]{3}", sent["x-request-start"])
    assert not {"x-inject", "x-evil", "x-gone", "transfer-encoding"} & sent.keys()


@pytest.mark.shows("configmap:add-headers", "configmap:proxy-set-headers", "configmap:ssl-dh-param")
def test_what_is_missing_is_told_and_costs_nothing_else(plain: Headrace) -> None:
    assert plain.get("http://app.test/").status == 200
    log = plain.log.read_text()
    assert log.count("There is no ConfigMap default/missing") >= 2
    assert "There is no Secret default/missing" in log


@pytest.mark.shows("configmap:add-headers")
def test_a_configmap_that_appears_takes_effect(plain: Headrace) -> None:
    plain.write("late.yaml", headers_object("missing", X_Late="yes"))
    plain.until(lambda: plain.get("http://app.test/").headers.get("x-late") == "yes")
    plain.until(lambda: plain.get("http://app.test/").json["headers"].get("x-late") == "yes")


@pytest.mark.shows("configmap:hide-headers")
@pytest.mark.parametrize("name", ["X-Powered-By", "X-AspNet-Version", "x-powered-by"])
def test_headers_of_pods_are_hidden(tuned: Headrace, plain: Headrace, name: str) -> None:
    url = f"http://app.test/?answer={name}:%20it"
    assert name.lower() not in tuned.get(url).headers
    assert plain.get(url).headers[name.lower()] == "it"


@pytest.mark.shows("configmap:allow-backend-server-header")
def test_the_pods_own_server_header(plain: Headrace, tuned: Headrace) -> None:
    assert plain.get("http://app.test/").headers["server"] == "pod"
    assert tuned.get("http://app.test/").headers["server"] == "ours"


@pytest.mark.shows("configmap:forwarded-host-header")
def test_the_header_that_named_the_host_before(tuned: Headrace, plain: Headrace) -> None:
    headers = {"X-Former-Host": "former.example", "X-Forwarded-Host": "usual.example"}
    found = [h.get("http://app.test/", headers=headers).json["headers"] for h in (tuned, plain)]
    assert [each["x-original-forwarded-host"] for each in found] == ["former.example", "usual.example"]


# -- who is turned away


@pytest.mark.shows("configmap:block-user-agents")
@pytest.mark.parametrize("scheme_host", ["http://app.test/", "https://tls.test/", "http://nobody.test/"])
@pytest.mark.parametrize(
    ("agent", "blocked"),
    [("curl/7.1", True), ("CURL/7.1", True), ("curl/7.10", False), ("a BadBot 1", True), ("Scan12", True),
     ("Scan12x", False), ("scan1", False), ("", False), ("Mozilla", False)],
)  # fmt: skip
def test_user_agents_are_turned_away(tuned: Headrace, scheme_host: str, agent: str, blocked: bool) -> None:
    assert (tuned.get(scheme_host, headers={"User-Agent": agent}).status == 403) == blocked


@pytest.mark.shows("configmap:block-referers")
@pytest.mark.parametrize(
    ("referer", "blocked"),
    [("https://spam.example/", True), ("https://spam.example/page", False), ("http://x.EVIL.example/", True),
     ("https://good.example/", False), ("", False)],
)  # fmt: skip
def test_referers_are_turned_away(tuned: Headrace, referer: str, blocked: bool) -> None:
    assert (tuned.get("http://app.test/", headers={"Referer": referer}).status == 403) == blocked


@pytest.mark.shows("configmap:block-user-agents", "configmap:block-referers")
@pytest.mark.parametrize("key", ["block_user_agents", "block_referers"])
def test_what_cannot_be_read_closes_every_route(tuned: Headrace, plain: Headrace, key: str) -> None:
    plain.write("settings-2.yaml")
    text = (plain.manifests / "objects.yaml").read_text()
    try:
        name = key.replace("_", "-")
        with_key = text.replace("disable-http-access-log", f"{name}: '~(open'\n  disable-http-access-log")
        (plain.manifests / "objects.yaml").write_text(with_key)
        plain.until(lambda: plain.get("http://app.test/").status == 503)
    finally:
        (plain.manifests / "objects.yaml").write_text(text)
    plain.until(lambda: plain.get("http://app.test/").status == 200)


# -- logs


@pytest.mark.shows("configmap:http-access-log-path", "configmap:access-log-params")
def test_the_access_log_goes_where_it_shall(tuned: Headrace, access: Syslog) -> None:
    tuned.get("http://app.test/logged-here")
    assert '"GET /logged-here HTTP/1.1" 200' in access.line_with("/logged-here")


@pytest.mark.shows("configmap:skip-access-log-urls")
@pytest.mark.parametrize(
    ("path", "logged"),
    [("/silent", False), ("/silent/more", True), ("/quiet/1", False), ("/quiet/x", True), ("/silent?a", True)],
)
def test_some_urls_are_not_logged(tuned: Headrace, access: Syslog, path: str, logged: bool) -> None:
    tuned.get(f"http://app.test{path}")
    mark = f"/after-{abs(hash(path))}"
    tuned.get(f"http://app.test{mark}")
    assert access.line_with(mark)
    assert any(f'"GET {path} HTTP' in line for line in access.lines) == logged


@pytest.mark.shows("configmap:enable-auth-access-log")
def test_questions_to_the_authentication_service_are_logged(tuned: Headrace, access: Syslog) -> None:
    tuned.get("http://guarded.test/who", headers={"Cookie": "session=ann"})
    assert access.line_with("/who")
    deadline = time.monotonic() + 3
    while len([line for line in access.lines if "/who" in line]) < 2 and time.monotonic() < deadline:
        access.line_with("never", 0.1)
    assert len([line for line in access.lines if "/who" in line]) == 2


@pytest.mark.shows("configmap:disable-http-access-log")
def test_no_access_log_at_all(plain: Headrace) -> None:
    plain.get("http://app.test/unlogged")
    time.sleep(0.2)
    logs = [plain.log, *(plain.directory / "state").glob("access.log")]
    assert not any("/unlogged" in log.read_text() for log in logs)


@pytest.mark.shows("configmap:error-log-path")
def test_the_error_log_goes_where_it_shall(tuned: Headrace, errors: Syslog) -> None:
    tuned.raw(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
    assert "client sent invalid host header" in errors.line_with("invalid host")


# -- TLS


def handshake(headrace: Headrace, version: ssl.TLSVersion, **how: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if "ciphers" in how:
        context.set_ciphers(how["ciphers"])
    if "curve" in how:
        context.set_ecdh_curve(how["curve"])
    connection = socket.create_connection(("127.0.0.1", headrace.https), timeout=5)
    return context.wrap_socket(connection, server_hostname="tls.test")


@pytest.mark.shows("configmap:ssl-ecdh-curve")
@pytest.mark.parametrize(("curve", "agreed"), [("secp384r1", True), ("prime256v1", False), ("X25519", False)])
def test_only_these_curves_are_used(tuned: Headrace, curve: str, agreed: bool) -> None:
    try:
        handshake(tuned, ssl.TLSVersion.TLSv1_3, curve=curve).close()
        found = True
    except ssl.SSLError:
        found = False
    assert found == agreed


@pytest.mark.shows("configmap:ssl-dh-param")
def test_diffie_hellman_with_our_parameters(tuned: Headrace, plain: Headrace) -> None:
    with handshake(tuned, ssl.TLSVersion.TLSv1_2, ciphers="DHE-RSA-AES256-GCM-SHA384") as tls:
        assert (tls.cipher() or ("",))[0] == "DHE-RSA-AES256-GCM-SHA384"
    with pytest.raises(ssl.SSLError):
        handshake(plain, ssl.TLSVersion.TLSv1_2, ciphers="DHE-RSA-AES256-GCM-SHA384")


@pytest.mark.shows("configmap:ssl-session-ticket-key", "configmap:ssl-session-tickets")
def test_the_key_of_tickets_is_a_file_and_its_text_is_nowhere_else(tuned: Headrace) -> None:
    state = tuned.directory / "state"
    (file,) = (state / "certificates").glob("*.ticket")
    assert file.read_bytes() == bytes(range(80))
    assert file.stat().st_mode & 0o077 == 0
    written = [path.read_text() for path in (state / "current").resolve().rglob("*.conf")]
    assert not any(TICKET_KEY in text for text in [*written, tuned.log.read_text()])


@pytest.mark.shows("configmap:ssl-early-data")
def test_pods_are_told_of_early_data(tuned: Headrace, plain: Headrace) -> None:
    sent = {"Early-Data": "1"}
    assert "early-data" not in tuned.get("https://tls.test/", headers=sent).json["headers"]
    assert plain.get("https://tls.test/", headers=sent).json["headers"]["early-data"] == "1"


# -- compression


@pytest.mark.shows("configmap:gzip-types", "configmap:gzip-disable", "configmap:gzip-min-length")
@pytest.mark.parametrize(
    ("path", "agent", "packed"), [("/", "", True), ("/", "OldBrowser/1", False), ("/events/3", "", False)]
)
def test_what_is_compressed(tuned: Headrace, path: str, agent: str, packed: bool) -> None:
    answer = tuned.get(f"http://app.test{path}", headers={"Accept-Encoding": "gzip", "User-Agent": agent})
    assert (answer.headers.get("content-encoding") == "gzip") == packed
    if packed:
        assert b'"backend"' in gzip.decompress(answer.body)


# -- workers and sockets


@pytest.mark.shows("configmap:bind-address", "configmap:reuse-port")
@pytest.mark.parametrize(("address", "open_"), [("127.0.0.1", True), ("127.0.0.3", True), ("127.0.0.2", False)])
def test_only_these_addresses_are_listened_on(tuned: Headrace, address: str, open_: bool) -> None:
    try:
        socket.create_connection((address, tuned.http), timeout=2).close()
        found = True
    except OSError:
        found = False
    assert found == open_


def worker_limits(headrace: Headrace) -> list[tuple[int, set[int]]]:
    """Files that each worker may open, and the processors it may run on."""
    master = int((headrace.directory / "state" / "nginx.pid").read_text())
    found = []
    for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split():
        limits = Path(f"/proc/{pid}/limits").read_text()
        files = int(re.search(r"Max open files +(\d+)", limits)[1])  # type: ignore[index]
        found.append((files, os.sched_getaffinity(int(pid))))
    return found


@pytest.mark.shows("configmap:max-worker-open-files", "configmap:worker-cpu-affinity", "configmap:worker-processes")
def test_workers_are_limited_and_bound_to_processors(tuned: Headrace) -> None:
    workers = worker_limits(tuned)
    assert [files for files, _ in workers] == [4096, 4096]
    assert all(len(processors) == 1 for _, processors in workers)


@pytest.mark.shows("configmap:max-worker-connections")
def test_connections_from_files(tuned: Headrace) -> None:
    text = _main_file(tuned)
    assert "worker_connections 3072;" in text


@pytest.mark.shows(
    "configmap:server-name-hash-max-size", "configmap:server-name-hash-bucket-size", "configmap:map-hash-bucket-size",
    "configmap:proxy-headers-hash-max-size", "configmap:proxy-headers-hash-bucket-size",
    "configmap:variables-hash-max-size", "configmap:variables-hash-bucket-size", "configmap:enable-aio-write",
    "configmap:grpc-buffer-size-kb", "configmap:upstream-keepalive-time", "configmap:default-type",
    "configmap:debug-connections",
)  # fmt: skip
@pytest.mark.parametrize(
    "line",
    ["server_names_hash_max_size 2048;", "server_names_hash_bucket_size 256;", "map_hash_bucket_size 256;",
     "proxy_headers_hash_max_size 2048;", "proxy_headers_hash_bucket_size 512;", "variables_hash_max_size 4096;",
     "variables_hash_bucket_size 512;", "aio_write on;", "grpc_buffer_size 64k;", "keepalive_time 1s;",
     'default_type "text/x-default";', "debug_connection 127.0.0.9/32;"],
)  # fmt: skip
def test_what_clients_do_not_see_is_what_nginx_runs(tuned: Headrace, line: str) -> None:
    assert line in _main_file(tuned)


def _main_file(headrace: Headrace) -> str:
    """The files of the generation that nginx runs."""
    current = headrace.directory / "state" / "current"
    place = current.resolve() if current.resolve().is_dir() else current.resolve().parent
    return "\n".join((place / name).read_text() for name in ("nginx.conf", "upstreams.conf"))


@pytest.mark.shows("configmap:enable-serial-reloads")
def test_a_reload_waits_for_the_workers_of_the_one_before(tuned: Headrace) -> None:
    slow = socket.create_connection(("127.0.0.1", tuned.http), timeout=10)
    slow.sendall(b"GET /slow/3 HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
    time.sleep(0.2)
    start = time.monotonic()
    tuned.write("first.yaml", ingress("first", ("first.test", "/", "Prefix", "one")))
    tuned.until(lambda: tuned.get("http://first.test/").status == 200)
    assert time.monotonic() - start < 1.8
    tuned.write("second.yaml", ingress("second", ("second.test", "/", "Prefix", "one")))
    tuned.until(lambda: tuned.get("http://second.test/").status == 200, seconds=8)
    assert time.monotonic() - start > 2.2
    assert b" 200 " in slow.recv(100)
    slow.close()


# -- syslog


@pytest.mark.shows("configmap:enable-syslog", "configmap:syslog-host", "configmap:syslog-port")
def test_both_logs_go_to_syslog(run: Run, objects: list[Object]) -> None:
    log = Syslog()
    settings = configmap(
        enable_syslog="true", syslog_host="127.0.0.1", syslog_port=str(log.port), error_log_level="info",
        nginx_status_ipv4_whitelist="10.0.0.0/8", nginx_status_ipv6_whitelist="::1",
    )  # fmt: skip
    headrace = run(*objects, settings, flags=CONFIGMAP)
    headrace.get("http://app.test/to-syslog")
    headrace.raw(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
    assert '"GET /to-syslog HTTP/1.1" 200' in log.line_with("/to-syslog")
    assert "invalid host" in log.line_with("invalid host")
    log.socket.close()
    # This nginx has no module for it; with the module the page is for those networks alone.
    assert headrace.get("http://nobody.test/nginx_status").status in (403, 404)
