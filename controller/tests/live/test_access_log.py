"""The access log: a line in the form that log pipelines know, or in the operator's own, or none."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, service, slice_of

ODD = 'caf\u00e9 "quoted" \\back\\ \u2603 {brace} $host\ttab'
"""A User-Agent that is awkward in every log format; sent as UTF-8."""


@dataclass
class Logged:
    """A controller and the file that its nginx logs to."""

    headrace: Headrace
    file: Path

    def line_with(self, mark: str) -> str:
        """The one line that holds the mark; waits for it."""
        self.headrace.until(lambda: self.lines_with(mark), message=f"no line with {mark}")
        (line,) = self.lines_with(mark)
        return line

    def lines_with(self, mark: str) -> list[str]:
        return [line for line in self.file.read_text().splitlines() if mark in line]


Start = Callable[..., Logged]


@pytest.fixture(scope="module")
def one(backends: Backends) -> Backend:
    return backends.start("one")


@pytest.fixture(scope="module")
def objects(one: Backend) -> list[Object]:
    return [
        ingress("app", ("app.test", "/", "Prefix", "one"), ("app.test", "/deep/er", "Prefix", "one", "http")),
        ingress("missing", ("missing.test", "/", "Prefix", "nope")),
        ingress("tls", ("tls.test", "/", "Prefix", "one"), tls=[{"hosts": ["tls.test"]}]),
        ingress("silent", ("silent.test", "/", "Prefix", "one"), annotations={"enable-access-log": "false"}),
        ingress("silent-tls", ("silent-tls.test", "/", "Prefix", "one"), annotations={"enable-access-log": "false"},
                tls=[{"hosts": ["silent-tls.test"]}]),
        ingress("narrow", ("narrow.test", "/only", "Prefix", "one")),
        *app("one", one),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def start(run: Run, objects: list[Object], tmp_path_factory: pytest.TempPathFactory) -> Start:
    """`start(key="value")` runs a controller with these keys of the ConfigMap."""

    def begin(*more: Object, flags: tuple[str, ...] = (), **keys: str) -> Logged:
        file = tmp_path_factory.mktemp("log") / "access.log"
        flags = (*CONFIGMAP, "--access-log", str(file), *flags)
        return Logged(run(*objects, *more, configmap(**keys), flags=flags), file)

    return begin


@pytest.fixture(scope="module")
def usual(start: Start) -> Logged:
    return start()


FIELDS = re.compile(
    r'(?P<remote_addr>\S+) - (?P<remote_user>\S+) \[(?P<time_local>[^]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" '
    r'(?P<status>\d+) (?P<body_bytes_sent>\d+) "(?P<referer>[^"]*)" "(?P<user_agent>(?:[^"\\]|\\.)*)" '
    r"(?P<request_length>\d+) (?P<request_time>\d+\.\d{3}) \[(?P<upstream_name>[^]]*)\] \[(?P<alternative>[^]]*)\] "
    r"(?P<upstream_addr>\S+) (?P<upstream_length>\S+) (?P<upstream_time>\S+) (?P<upstream_status>\S+) (?P<req_id>\S+)"
)


def fields(line: str) -> dict[str, str]:
    found = FIELDS.fullmatch(line)
    assert found, line
    return found.groupdict()


def test_every_field_of_the_usual_line(usual: Logged, one: Backend) -> None:
    sent = {"Referer": "http://from.test/", "User-Agent": "agent/1 (x)", "Authorization": "Basic dXNlcjpwYXNz"}
    before = time.time()
    answer = usual.headrace.get("http://app.test/usual?a=b%20c", headers=sent)
    found = fields(usual.line_with("/usual"))
    logged_at = time.mktime(time.strptime(found.pop("time_local").split()[0], "%d/%b/%Y:%H:%M:%S"))
    assert abs(logged_at - before) < 5
    assert 100 < int(found.pop("request_length")) < 400
    assert float(found.pop("request_time")) < 5
    assert float(found.pop("upstream_time")) < 5
    assert found == {
        "remote_addr": "127.0.0.1",
        "remote_user": "user",
        "request": "GET /usual?a=b%20c HTTP/1.1",
        "status": "200",
        "body_bytes_sent": str(len(answer.body)),
        "referer": "http://from.test/",
        "user_agent": "agent/1 (x)",
        "upstream_name": "default-one-80",
        "alternative": "",
        "upstream_addr": f"127.0.0.1:{one.port}",
        "upstream_length": str(len(answer.body)),
        "upstream_status": "200",
        "req_id": answer.json["headers"]["x-request-id"],
    }


@pytest.mark.parametrize(
    ("url", "status", "name"),
    [
        ("http://app.test/deep/er/by-port-name", "200", "default-one-http"),
        ("http://missing.test/no-service", "503", "default-nope-80"),
        ("http://tls.test/redirected", "308", "-"),
        ("https://tls.test/over-tls", "200", "default-one-80"),
        ("http://narrow.test/unmatched", "404", "upstream-default-backend"),
    ],
)
def test_the_name_of_the_upstream(usual: Logged, url: str, status: str, name: str) -> None:
    usual.headrace.get(url, headers={"X-Request-ID": f"id-{url}"})
    found = fields(usual.line_with(f"id-{url}"))
    assert (found["status"], found["upstream_name"]) == (status, name)
    assert found["upstream_addr"] == "-" or status == "200"


def test_odd_text_stays_within_its_field(usual: Logged) -> None:
    usual.headrace.get("http://app.test/odd", headers={"User-Agent": ODD.encode().decode("latin-1")})
    found = fields(usual.line_with("/odd"))
    assert found["user_agent"].startswith(r"caf\xC3\xA9 \x22quoted\x22 \x5Cback")


@pytest.mark.shows("enable-access-log")
def test_what_is_not_logged(usual: Logged) -> None:
    for url in (
        "http://silent.test/never-1",
        "http://silent-tls.test/never-2",
        "https://silent-tls.test/never-3",
        "http://unknown.test/never-4",
        "http://unknown.test/healthz?never-5",
    ):
        usual.headrace.get(url)
    usual.headrace.get("http://app.test/afterwards")
    usual.line_with("/afterwards")
    assert usual.lines_with("never-") == []
    assert usual.lines_with("generation") == []


def test_by_default_the_log_goes_to_the_output_of_the_program(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects)
    headrace.get("http://app.test/to-stdout")
    headrace.until(lambda: "GET /to-stdout HTTP/1.1" in headrace.log.read_text(), message="not on stdout")


@pytest.mark.shows("configmap:access-log-format")
def test_json_is_valid_for_any_text(start: Start, one: Backend) -> None:
    logged = start(access_log_format="json")
    answer = logged.headrace.get(
        "http://app.test/json?q=%22", headers={"User-Agent": ODD.encode().decode("latin-1"), "Referer": 'a"b\\'}
    )
    found = json.loads(logged.line_with("/json"))
    assert (found["user_agent"], found["referer"]) == (ODD, 'a"b\\')
    expected = {
        "remote_addr": "127.0.0.1", "method": "GET", "host": "app.test", "uri": "/json?q=%22",
        "protocol": "HTTP/1.1", "status": "200", "namespace": "default", "ingress": "app", "service": "one",
        "service_port": "80", "upstream_addr": f"127.0.0.1:{one.port}", "upstream_status": "200",
        "request_id": answer.json["headers"]["x-request-id"],
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    logged.headrace.get("http://missing.test/nobody")
    assert json.loads(logged.line_with("/nobody"))["upstream_addr"] == ""


@pytest.mark.shows("configmap:log-format-upstream")
def test_an_own_format_with_our_variables_and_awkward_text(start: Start) -> None:
    logged = start(
        log_format_upstream='it\'s; "#" {x} \\n ns=$namespace in=${ingress_name} svc=$service_name:$service_port '
        "at=$location_path id=$req_id up=$proxy_upstream_name by=$http_x_own ip=$the_real_ip to=$best_http_host",
    )
    logged.headrace.get("http://app.test/deep/er/own", headers={"X-Own": "me", "X-Request-ID": "id1"})
    assert logged.line_with("id1") == (
        'it\'s; "#" {x} \\n ns=default in=app svc=one:http at=/deep/er id=id1 up=default-one-http by=me '
        "ip=127.0.0.1 to=app.test"
    )


@pytest.mark.shows("configmap:log-format-escape-json")
def test_an_own_json_format(start: Start) -> None:
    logged = start(
        log_format_escape_json="true",
        log_format_upstream='{"agent": "$http_user_agent", "status": $status, "up": "$upstream_status"}',
    )
    logged.headrace.get("http://app.test/", headers={"User-Agent": ODD.encode().decode("latin-1")})
    logged.headrace.get("http://missing.test/")
    logged.headrace.until(lambda: len(logged.lines_with("agent")) == 2)
    assert [json.loads(line) for line in logged.lines_with("agent")] == [
        {"agent": ODD, "status": 200, "up": "200"},
        {"agent": "", "status": 503, "up": ""},
    ]


@pytest.mark.shows("configmap:enable-access-log-for-default-backend")
def test_a_format_with_an_unknown_variable_is_refused_and_the_usual_one_used(start: Start, backends: Backends) -> None:
    logged = start(
        service("global", "infra"),
        slice_of("global", backends.start("global"), namespace="infra"),
        flags=("--default-backend-service", "infra/global"),
        log_format_upstream="$status $no_such_variable",
        enable_access_log_for_default_backend="true",
    )
    logged.headrace.get("http://app.test/still-logged")
    assert fields(logged.line_with("/still-logged"))["status"] == "200"
    report = json.loads(logged.headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    (told,) = [finding for finding in report if finding["object"]["kind"] == "ConfigMap"]
    assert told["code"] == "configmap-key-invalid"
    assert "$no_such_variable" in told["message"]
    for host in ("unknown.test", "narrow.test"):
        assert logged.headrace.get(f"http://{host}/default-of-{host}").backend == "global"
        assert fields(logged.line_with(f"default-of-{host}"))["upstream_name"] == "upstream-default-backend"


def test_no_access_log_at_all(start: Start) -> None:
    logged = start(disable_access_log="true")
    assert logged.headrace.get("http://app.test/").status == 200
    time.sleep(0.3)
    assert not logged.file.exists() or logged.file.read_text() == ""


@pytest.mark.shows("enable-rewrite-log")
def test_rewrites_are_told_where_that_is_asked_for(run: Run, backends: Backends) -> None:
    regex = "ImplementationSpecific"
    headrace = run(
        ingress("told", ("told.test", "/a/(.*)", regex, "one"),
                annotations={"rewrite-target": "/$1", "enable-rewrite-log": "true"}),
        ingress("silent", ("silent.test", "/b/(.*)", regex, "one"), annotations={"rewrite-target": "/$1"}),
        *app("one", backends.start("rewritten")),
    )  # fmt: skip
    assert headrace.get("http://told.test/a/first").json["target"] == "/first"
    assert headrace.get("http://silent.test/b/second").json["target"] == "/second"
    headrace.until(lambda: 'rewritten data: "/first"' in headrace.log.read_text(), message="no rewrite log")
    assert 'rewritten data: "/second"' not in headrace.log.read_text()
