"""The attack corpus beside the checkout, where there is one: every object does what the header of its file says.

Each file is brought alone to a running controller, after `00-control.yaml`; `shared_table.py` says what must come of
it. Our own corpus (`test_corpus.py`) is always there and covers the same ground.
"""

from __future__ import annotations

import copy
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.attacks.arena import MARKS, SECRET, Arena, arena, documents
from controller.tests.attacks.shared_table import ASKED_ELSEWHERE, TABLE, Row
from controller.tests.live.objects import Object, ingress, key_pair, tls_secret

CORPUS = Path(__file__).parents[4] / "shared" / "spec" / "attacks"
if not CORPUS.is_dir():
    pytest.skip("there is no shared corpus beside this checkout", allow_module_level=True)

SETTINGS = "ingress-nginx/ingress-nginx-controller"
VICTIMS = {
    "http://control.example.com/": "a",
    "https://victim.example.com/": "a",
    "https://victim.example.com/account": "a",
}
PODS = {
    ("tenant-a", "web"): "a",
    ("tenant-b", "web"): "b",
    ("tenant-b", "other"): "b",
    ("tenant-b", "always-200"): "errors",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    control = documents(CORPUS / "00-control.yaml")
    victim_users = next(each for each in control if each["metadata"]["name"] == "victim-users")
    victim_users["stringData"]["note"] = SECRET
    pairs = [
        tls_secret("victim-tls", key_pair("victim.example.com"), "tenant-a"),
        tls_secret("t", key_pair("*.example.com"), "tenant-b"),
        _authority("ca"),
        _users("users"),
        _users("u"),
    ]
    with arena(
        tmp_path_factory.mktemp("shared"), [*control, *pairs], PODS, VICTIMS, "--configmap", SETTINGS
    ) as running:
        yield running


def _authority(name: str) -> Object:
    chain, _ = key_pair("authority")
    return _secret(name, {"ca.crt": chain.decode()})


def _users(name: str) -> Object:
    return _secret(name, {"auth": "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"})


def _secret(name: str, data: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "tenant-b"},
        "stringData": data,
    }


def bring(stage: Arena, file: str, *more: Object) -> None:
    """The file, and a good Ingress of the victim that comes later than all of it."""
    objects = [each for each in documents(CORPUS / f"{file}.yaml") if each["kind"] != "AdmissionReview"]
    put(stage, *objects, *more)


def put(stage: Arena, *objects: Object, served: bool = True) -> None:
    host = f"settled-{stage.rounds}.example.com"
    good = ingress("settled", (host, "/", "Exact", "web"), namespace="tenant-a", ingressClassName="nginx")
    good["metadata"]["annotations"] = {
        "nginx.ingress.kubernetes.io/enable-global-auth": "false",
        f"nginx.ingress.kubernetes.io/{host}": "settled",
    }
    stage.bring(objects, good, served=served)


def test_every_file_has_its_rows() -> None:
    files = {path.stem for path in CORPUS.glob("*.yaml")}
    assert files == TABLE.keys() | ASKED_ELSEWHERE


@pytest.mark.parametrize("file", sorted(TABLE))
def test_each_file(stage: Arena, file: str) -> None:
    bring(stage, file)
    stage.check_victims()
    wrong = [fault for row in TABLE[file] for fault in _faults(stage, row)]
    assert not wrong, "\n".join(wrong)
    stage.check_victims()
    stage.check_data_plane()


def _faults(stage: Arena, row: Row) -> list[str]:
    found = []
    told = stage.told(row.name)
    if row.told and not told & row.told:
        found.append(f"{row.name}: told {sorted(told)}, not one of {sorted(row.told)}")
    if row.answers:
        answer = stage.outcome(f"http://{row.name}.example.com{row.path}")
        if answer not in row.answers:
            found.append(f"{row.name}: answers {answer}, not one of {sorted(row.answers)}")
    return found


def test_hosts_that_are_no_names(stage: Arena) -> None:
    bring(stage, "inject-host")
    stage.check_victims()
    for number in range(1, 20):
        assert stage.told(f"host-{number}") == {"host-invalid"}, number
    for host in ("a;b.example.com", "a}b.example.com", "a`b.example.com", "_", "x.y.test"):
        assert stage.outcome("http://nobody.test/", host=host) in ("404", "400")
    stage.check_data_plane()


def test_paths_that_are_exempt_from_authentication(stage: Arena) -> None:
    bring(stage, "auth-exempt-traversal")
    for path in ("/", "/admin", "/public/../admin", "/public/%2e%2e/admin", "//public/../admin", "/public..;/admin"):
        assert stage.outcome(f"http://ex.example.com{path}") in ("401", "400"), path
    assert stage.outcome("http://ex.example.com/publicity") == "401"
    assert stage.outcome("http://ex.example.com/public/x") == "b"
    stage.check_data_plane()


def test_users_that_are_none_cannot_log_in(stage: Arena) -> None:
    bring(stage, "auth-secret-content")
    for user in (":", "nocolon:", "root:x", "root:{PLAIN}x", "mallory:m", "a.b:", "..:x", "big:big"):
        for host in ("hp-1", "hp-2"):
            got = stage.outcome(f"http://{host}.example.com/", headers={"Authorization": f"Basic {_base64(user)}"})
            assert got in ("401", "403", "503"), (host, user)
    stage.check_data_plane()


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def test_an_error_page_never_authenticates(stage: Arena) -> None:
    bring(stage, "cve-2026-24513-auth-custom-errors")
    pod = next(backend for backend in stage.backends if backend.name == "b")
    before = len(pod.requests)
    assert stage.outcome("http://auth-ce.example.com/") in ("401", "403", "errors")
    assert len(pod.requests) == before
    stage.check_data_plane()


def test_bodies_and_upgrades_smuggle_nothing(stage: Arena) -> None:
    bring(stage, "h2c-and-smuggling")
    hidden = b"GET /_hidden/index.html HTTP/1.1\r\nHost: smug.example.com\r\n\r\n"
    head = b"GET /echo HTTP/1.1\r\nHost: smug.example.com\r\nContent-Length: %d\r\n\r\n" % len(hidden)
    received = stage.headrace.raw(head + hidden + b"", timeout=2, until=b"</html>")
    assert received.count(b"HTTP/1.1 ") == 1
    both = (
        b"POST / HTTP/1.1\r\nHost: smug.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert stage.headrace.raw(both, until=b"\r\n\r\n").startswith(b"HTTP/1.1 400")
    upgrade = {"Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__", "Connection": "Upgrade, HTTP2-Settings"}
    answer = stage.ask("http://control.example.com/", headers=upgrade)
    assert answer.status == 200 and not {"upgrade", "http2-settings"} & answer.json["headers"].keys()
    assert stage.outcome("http://smug.example.com/", headers=upgrade) in ("302", "401")
    stage.check_data_plane()


def test_headers_of_the_controller_are_not_taken_from_clients(stage: Arena) -> None:
    bring(stage, "header-spoofing")
    forged = {
        "ssl-client-verify": "SUCCESS",
        "ssl-client-subject-dn": "CN=admin",
        "X-Auth-User": "admin",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "1.2.3.4",
        "X-Original-Forwarded-For": "9.9.9.9",
        "Proxy": "http://x",
        "X_Auth_User": "admin",
    }
    seen = stage.ask("http://spoof.example.com/", headers=forged).json["headers"]
    assert not [name for name, value in forged.items() if seen.get(name.lower()) == value], seen


def test_settings_of_a_host_stay_with_its_owner(stage: Arena) -> None:
    bring(stage, "host-hijack-server-settings")
    stage.check_victims()
    assert stage.headrace.get("https://victim.example.com/").headers.get("location") is None
    assert stage.outcome("http://other.example.com/") == "404"
    assert stage.outcome("https://www.victim.example.com/") == "404"
    names = ssl.DER_cert_to_PEM_cert(stage.headrace.certificate("victim.example.com"))
    put(stage)
    assert names == ssl.DER_cert_to_PEM_cert(stage.headrace.certificate("victim.example.com"))


def test_snippets_of_the_configmap_have_no_effect(stage: Arena) -> None:
    bring(stage, "inject-configmap-snippets")
    stage.check_victims()
    told = stage.findings("ingress-nginx-controller", "ConfigMap")
    assert {finding["field"].removeprefix("data[").rstrip("]") for finding in told} >= {
        "main-snippet", "http-snippet", "server-snippet", "location-snippet", "stream-snippet", "global-auth-snippet",
        "modsecurity-snippet",
    }  # fmt: skip
    stage.check_data_plane()


def test_values_of_the_configmap_are_values(stage: Arena) -> None:
    objects = documents(CORPUS / "inject-configmap-values.yaml")
    bad = {*objects[0]["data"]} - {"worker-shutdown-timeout", "use-gzip", "use-forwarded-headers"}
    put(stage, *objects, served=False)
    told = stage.findings("ingress-nginx-controller", "ConfigMap")
    named = {finding["field"].removeprefix("data[").rstrip("]") for finding in told}
    # A path that begins with a slash, a format and a URL whose text is quoted: they mean what they say, no more.
    assert bad - {"no-tls-redirect-locations", "log-format-upstream", "skip-access-log-urls"} <= named, bad - named
    current = (stage.headrace.directory / "state" / "current" / "nginx.conf").read_text()
    assert "worker_shutdown_timeout 30s;" in current
    stage.check_data_plane()
    put(stage)
    stage.check_victims()


def test_a_log_line_cannot_be_forged(stage: Arena) -> None:
    bring(stage, "inject-log-format")
    stage.check_victims()
    stage.ask("http://control.example.com/forged", headers={"User-Agent": 'x","admin":"1'})
    stage.headrace.until(lambda: "/forged" in stage.headrace.log.read_text(errors="replace"))
    line = next(x for x in stage.headrace.log.read_text(errors="replace").splitlines() if '"u":"/forged' in x)
    assert '"admin":"1' not in line
    assert stage.findings("ingress-nginx-controller", "ConfigMap"), "a JSON format without JSON escapes is told"


def test_certificates_of_clients_are_asked_for_by_the_name_of_the_handshake(stage: Arena) -> None:
    bring(stage, "mtls-host-sni-mismatch")
    assert stage.outcome("https://mtls-b.example.com/") == "b"
    assert stage.outcome("https://mtls-b.example.com/", host="mtls-a.example.com") == "421"
    assert stage.outcome("https://mtls-a.example.com/") in ("400", "403", "496")
    assert stage.outcome("https:///", host="mtls-a.example.com") in ("421", "400")
    stage.check_data_plane()


def test_long_captures_do_not_end_a_worker(stage: Arena) -> None:
    bring(stage, "nginx-map-capture-overflow")
    host = f"{'a' * 60}.mapo.example.com"
    headers = {"Origin": f"https://{'A' * 60}.example.org", "X-Forwarded-Host": "A" * 4000}
    assert stage.outcome(f"http://{host}/x/{'A' * 4000}", headers=headers) in ("308", "414", "b")
    bring(stage, "nginx-rewrite-module-overflow")
    for path in ("/api/" + "+" * 1000, "/api/" + "%2B" * 2000, "/api/" + "%25" * 2600, "/v/" + "a" * 4000):
        for host in ("rwo-2", "rwo-3"):
            assert stage.outcome(f"http://{host}.example.com{path}") in ("b", "404", "414", "400")
    stage.check_victims()
    stage.check_data_plane()


def test_huge_objects_are_refused(stage: Arena) -> None:
    objects = {each["metadata"]["name"]: each for each in documents(CORPUS / "oversize-objects.yaml")}
    addresses = ",".join(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in range(20_000))
    _annotate(objects["big-list"], addresses)
    _annotate(objects["big-alias"], ",".join(f"n{n}.example.net" for n in range(5_000)))
    rule = objects["big-paths"]["spec"]["rules"][0]
    objects["big-paths"]["spec"]["rules"] = [{**copy.deepcopy(rule), "host": f"h{n}.big.test"} for n in range(5_000)]
    objects["big-path"]["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/" + "a" * 100_000
    put(stage, *objects.values())
    for name in objects:
        assert stage.told(name), name
    assert stage.outcome("http://big-list.example.com/") == "503"
    assert stage.outcome("http://big-path.example.com/") == "404"
    assert stage.outcome("http://h7.big.test/") == "404"
    stage.check_victims()
    stage.check_data_plane()


def _annotate(each: Object, text: str) -> None:
    annotations = each["metadata"]["annotations"]
    for name in annotations:
        annotations[name] = text


def test_a_flood_of_updates_costs_few_reloads(stage: Arena) -> None:
    (storm,) = documents(CORPUS / "reload-storm.yaml")
    before = stage.headrace.metric("headrace_reloads_total")
    for number in range(60):
        storm["metadata"]["annotations"] = {"nginx.ingress.kubernetes.io/proxy-read-timeout": str(61 + number)}
        stage.headrace.write("storm.yaml", storm)
        time.sleep(0.01)
    put(stage)
    stage.check_victims()
    (stage.headrace.manifests / "storm.yaml").unlink()
    assert stage.headrace.metric("headrace_reloads_total") - before < 30


def test_wildcards_and_the_catch_all_take_only_what_is_left(stage: Arena) -> None:
    bring(stage, "wildcard-takeover")
    stage.check_victims()
    assert stage.outcome("http://nobody.example.com/") == "b"
    assert stage.outcome("http://a.b.example.com/") == stage.outcome("http://nobody.test/") == "b"
    stage.check_data_plane()


def test_a_canary_of_another_namespace_gets_nothing(stage: Arena) -> None:
    bring(stage, "canary-hijack")
    assert {stage.outcome("https://victim.example.com/") for _ in range(20)} == {"a"}


def test_internal_places_are_not_to_be_had(stage: Arena) -> None:
    bring(stage, "freeze-duplicates")
    for path in ("/_hr_auth", "/@hr_hold", "/%40hr_hold", "/_hr_mirror", "/generation"):
        assert stage.outcome(f"http://control.example.com{path}") == "a", path
    assert stage.outcome("http://nobody.test/healthz") in ("200", "b")
    assert stage.headrace.ask_health("/readyz").status == 200


def test_streams(stage: Arena) -> None:
    bring(stage, "inject-stream-configmaps")
    stage.check_victims()
    stage.check_data_plane()


def test_nothing_of_an_admission_review_is_an_ingress(stage: Arena) -> None:
    for file in (
        "cve-2025-1974-admission-test",
        "cve-2025-24513-auth-file-traversal",
        "cve-2026-24514-admission-oversize",
    ):
        put(stage, *documents(CORPUS / f"{file}.yaml"))
        stage.check_victims()
    assert stage.outcome("http://uid-traversal.example.com/") == "404"
    stage.check_data_plane()


def test_the_marks_are_worth_something(stage: Arena) -> None:
    """The text that stands for a Secret is in a Secret, or no leak could be seen."""
    assert SECRET in (stage.headrace.manifests / "arena.yaml").read_text() and SECRET in MARKS


def test_with_ownership_of_hosts_foreign_paths_are_refused(tmp_path: Path) -> None:
    control = [
        *documents(CORPUS / "00-control.yaml"),
        tls_secret("victim-tls", key_pair("victim.example.com"), "tenant-a"),
    ]
    with arena(tmp_path / "owned", control, PODS, VICTIMS, "--host-ownership", "first-come") as owned:
        bring(owned, "host-hijack-path")
        assert owned.told("hijack-login") == owned.told("hijack-exact") == {"host-owned"}
        assert "tenant-a" in owned.findings("hijack-login")[0]["message"]
        assert owned.outcome("https://victim.example.com/login") == "a"
        owned.check_victims()
        bring(owned, "wildcard-takeover")
        assert [owned.told(name) for name in ("wild", "catch-all", "hostless")] == [{"host-owned"}] * 3
        assert owned.outcome("http://nobody.test/") == "404"
        owned.check_victims()
