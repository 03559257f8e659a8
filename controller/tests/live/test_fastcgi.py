"""FastCGI applications: what they are told, what they answer, and settings that only they know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.fastcgi import FastCgiServer
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, service, slice_at, slice_of
from controller.tests.live.protocols import AT_ONCE, Rude, app_at, findings, host, timed, waits
from controller.tests.ports import free_port


def params(name: str, namespace: str = "default", **data: str) -> Object:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


@pytest.fixture(scope="module")
def application() -> Iterator[FastCgiServer]:
    with FastCgiServer("fcgi") as running:
        yield running


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, application: FastCgiServer) -> Iterator[Headrace]:
    with closing(Rude()) as rude:
        objects: list[Object] = [
            *app_at("plain", backends.start("plain")),
            *app_at("fcgi", application),
            *app_at("rude", rude),
            *(document for name in ("late-2", "late-3", "empty") for document in (service(name), slice_of(name))),
            host("late-2", "late-2", backend_protocol="FCGI"),
            host("late-3", "late-3", backend_protocol="FCGI"),
            host("fcgi-rude", "rude", backend_protocol="FCGI", **{"headrace.dev/hold": "false"}),
            host("fcgi", "fcgi", backend_protocol="FCGI"),
            host("fcgi-lower", "fcgi", backend_protocol="fcgi"),
            host("fcgi-index", "fcgi", backend_protocol="FCGI", fastcgi_index="index.php"),
            host("fcgi-bad-index", "fcgi", backend_protocol="FCGI", fastcgi_index="i.php;return 418"),
            host("fcgi-params", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="php"),
            host("fcgi-own", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="default/php"),
            host("fcgi-foreign", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="other/php"),
            host("fcgi-missing", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="nowhere"),
            host("fcgi-bad-key", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="bad-key"),
            host("fcgi-bad-value", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="bad-value"),
            host("fcgi-variable", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="bad-variable"),
            host("fcgi-empty", "empty", backend_protocol="FCGI"),
            host("not-fcgi", "plain", fastcgi_index="index.php", fastcgi_params_configmap="nowhere"),
            params("php", SCRIPT_FILENAME="/srv/www$fastcgi_script_name", APP_ENV="prod", HTTP_X_FROM="map-${host}"),
            params("php", namespace="other", APP_ENV="stolen"),
            params("bad-key", **{"A B": "1"}),
            params("bad-value", SCRIPT_FILENAME="/x;return 418"),
            params("bad-variable", SCRIPT_FILENAME="$hr_address"),
        ]  # fmt: skip
        yield run(*objects)


@pytest.mark.shows("backend-protocol")
def test_a_service_without_pods_is_a_503_at_once(headrace: Headrace) -> None:
    took, answer = timed(headrace, "http://fcgi-empty.test/", method="POST", body=b"x")
    assert answer.status == 503 and took < AT_ONCE


@pytest.mark.shows("backend-protocol")
def test_a_pod_that_speaks_something_else_is_a_502(headrace: Headrace) -> None:
    took, answer = timed(headrace, "http://fcgi-rude.test/")
    assert answer.status == 502 and took < AT_ONCE


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize(
    ("number", "sent"),
    [
        (2, {"url": "http://late-2.test/a%2Fb?x=%20"}),
        (3, {"url": "http://late-3.test/large", "method": "PUT", "body": b"b" * 200_000}),
    ],
)
def test_a_request_that_no_pod_receivedwaits_for_one(
    headrace: Headrace, application: FastCgiServer, number: int, sent: dict[str, Any]
) -> None:
    file, name = f"late-{number}.yaml", f"late-{number}"
    headrace.write(file, slice_at(name, ("127.0.0.1", free_port()), suffix="2"))
    headrace.until(lambda: waits(headrace, f"http://{name}.test/"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(headrace.get, **sent)
        time.sleep(0.4)
        assert not waiting.done()
        headrace.write(file, slice_at(name, ("127.0.0.1", application.port), suffix="2"))
        answer = waiting.result()
    assert answer.status == 200 and answer.backend == "fcgi"
    assert len(answer.json["body"]) == len(sent.get("body", b""))
    assert answer.json["params"]["REQUEST_URI"] == sent["url"].partition(".test")[2]


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["fcgi", "fcgi-lower"])
def test_a_request_over_fastcgi(headrace: Headrace, name: str) -> None:
    answer = headrace.get(f"https://{name}.test/a%20b/x.php?q=%2F&r", method="POST", body=b"data",
                          headers={"Content-Type": "text/x", "X-Mine": "kept"})  # fmt: skip
    assert (answer.status, answer.headers["content-type"], answer.json["body"]) == (200, "application/json", "data")
    seen = answer.json["params"]
    expected = {
        "REQUEST_METHOD": "POST", "REQUEST_URI": "/a%20b/x.php?q=%2F&r", "QUERY_STRING": "q=%2F&r",
        "SCRIPT_NAME": "/a b/x.php", "DOCUMENT_URI": "/a b/x.php", "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "4",
        "SERVER_NAME": f"{name}.test", "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_SCHEME": "https", "HTTPS": "on", "REMOTE_ADDR": "127.0.0.1", "REDIRECT_STATUS": "200",
        "HTTP_HOST": f"{name}.test", "HTTP_X_MINE": "kept", "HTTP_X_FORWARDED_PROTO": "https",
    }  # fmt: skip
    assert {key: seen.get(key) for key in expected} == expected


@pytest.mark.shows("backend-protocol")
def test_forged_headers_do_not_reach_a_fastcgi_application(headrace: Headrace) -> None:
    forged = {"X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4", "Proxy": "http://evil.test",
              "X-Forwarded-Port": "1", "ssl-client-verify": "SUCCESS", "ssl-client-subject-dn": "CN=admin"}  # fmt: skip
    seen = headrace.get("http://fcgi.test/", headers=forged).json["params"]
    assert seen["HTTP_X_FORWARDED_FOR"] == seen["HTTP_X_REAL_IP"] == "127.0.0.1"
    assert seen["HTTP_X_FORWARDED_PORT"] == str(headrace.http)
    assert not {"HTTP_PROXY", "HTTP_SSL_CLIENT_VERIFY", "HTTP_SSL_CLIENT_SUBJECT_DN", "HTTPS"} & seen.keys()
    assert seen["HTTP_X_ORIGINAL_FORWARDED_FOR"] == "1.2.3.4"


@pytest.mark.shows("backend-protocol")
def test_answers_of_a_fastcgi_application(headrace: Headrace) -> None:
    assert headrace.get("http://fcgi.test/status/404").status == 404
    answer = headrace.get("http://fcgi.test/accel")
    assert answer.backend == "fcgi" and "x-accel-redirect" not in answer.headers
    assert "max-age" in headrace.get("https://fcgi.test/").headers["strict-transport-security"]


@pytest.mark.shows("backend-protocol")
def test_a_large_body_over_fastcgi(headrace: Headrace) -> None:
    answer = headrace.get("http://fcgi.test/", method="PUT", body=b"z" * 900_000)
    assert len(answer.json["body"]) == 900_000
    assert headrace.get("http://fcgi.test/", method="PUT", body=b"z" * 1_100_000).status == 413


@pytest.mark.shows("fastcgi-index")
def test_the_index_of_a_directory(headrace: Headrace) -> None:
    assert headrace.get("http://fcgi-index.test/dir/").json["params"]["SCRIPT_NAME"] == "/dir/index.php"
    assert headrace.get("http://fcgi-index.test/").json["params"]["SCRIPT_NAME"] == "/index.php"
    assert headrace.get("http://fcgi-index.test/a.php").json["params"]["SCRIPT_NAME"] == "/a.php"
    assert headrace.get("http://fcgi.test/dir/").json["params"]["SCRIPT_NAME"] == "/dir/"


@pytest.mark.shows("fastcgi-index")
def test_an_index_that_is_no_file_name_is_left_out(headrace: Headrace) -> None:
    assert headrace.get("http://fcgi-bad-index.test/dir/").json["params"]["SCRIPT_NAME"] == "/dir/"
    (finding,) = findings(headrace, "fcgi-bad-index")
    assert finding["code"] == "annotation-invalid"


@pytest.mark.shows("fastcgi-index", "fastcgi-params-configmap")
def test_settings_of_fastcgi_mean_nothing_to_other_protocols(headrace: Headrace) -> None:
    assert headrace.get("http://not-fcgi.test/").backend == "plain"


@pytest.mark.shows("fastcgi-params-configmap")
@pytest.mark.parametrize("name", ["fcgi-params", "fcgi-own"])
def test_more_parameters(headrace: Headrace, name: str) -> None:
    seen = headrace.get(f"http://{name}.test/x.php?a=1").json["params"]
    assert (seen["SCRIPT_FILENAME"], seen["APP_ENV"]) == ("/srv/www/x.php", "prod")
    assert seen["HTTP_X_FROM"] == f"map-{name}.test"
    assert (seen["QUERY_STRING"], seen["HTTP_X_REAL_IP"]) == ("a=1", "127.0.0.1"), "the usual ones are there as well"


@pytest.mark.shows("fastcgi-params-configmap")
@pytest.mark.parametrize("name", ["fcgi-foreign", "fcgi-missing", "fcgi-bad-key", "fcgi-bad-value", "fcgi-variable"])
def test_parameters_that_cannot_be_had_close_the_paths(headrace: Headrace, name: str) -> None:
    assert headrace.get(f"http://{name}.test/").status == 503
    (finding,) = findings(headrace, name)
    assert "fastcgi-params-configmap" in finding["field"] and finding["severity"] == "error"


@pytest.mark.shows("fastcgi-params-configmap")
def test_parameters_follow_their_configmap(headrace: Headrace) -> None:
    headrace.write("nowhere.yaml", params("nowhere", APP_ENV="late"))
    headrace.until(lambda: headrace.get("http://fcgi-missing.test/").status == 200)
    assert headrace.get("http://fcgi-missing.test/").json["params"]["APP_ENV"] == "late"
    headrace.write("nowhere.yaml", params("nowhere", APP_ENV="later"))
    headrace.until(lambda: headrace.get("http://fcgi-missing.test/").json["params"]["APP_ENV"] == "later")
    (headrace.manifests / "nowhere.yaml").unlink()
    headrace.until(lambda: headrace.get("http://fcgi-missing.test/").status == 503)
