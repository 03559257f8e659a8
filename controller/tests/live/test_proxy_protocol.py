"""The PROXY protocol on the way in, with passthrough and with listeners that never expect it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from controller.tests.live.authorities import server_context
from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.handshakes import leaf_of, shake
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, key_pair, service, slice_of
from controller.tests.live.test_client_address import binary_line_of, line_of
from controller.tests.ports import free_ports

CLIENT, PROXY = "203.0.113.9", "198.51.100.5"
PODS = key_pair("pass.test", common_name="of the pods")

pytestmark = pytest.mark.shows("configmap:use-proxy-protocol")


@pytest.fixture(scope="module")
def objects(backends: Backends) -> list[Object]:
    secure = backends.start("secure", tls=server_context(PODS))
    annotations = {"ssl-passthrough": "true"}
    listed = annotations | {"whitelist-source-range": f"{CLIENT}/32"}
    return [
        ingress("app", ("app.test", "/", "Prefix", "app")),
        ingress("pass", ("pass.test", "/", "Prefix", "secure", 443), annotations=annotations),
        ingress("listed", ("listed.test", "/", "Prefix", "secure", 443), annotations=listed),
        *app("app", backends.start("app")),
        service("secure", port=443),
        slice_of("secure", secure),
    ]


class Plain:
    """A controller with the plain listeners beside the others; `ports` are those for HTTP and HTTPS."""

    def __init__(self, run: Run, objects: list[Object], log: Path, *flags: str, **keys: str) -> None:
        self.http, self.https = free_ports(2)
        ports = ("--plain-http-port", str(self.http), "--plain-https-port", str(self.https))
        self.log = log
        settings = configmap(use_proxy_protocol="true", **keys)
        self.headrace: Headrace = run(*objects, settings, flags=(*CONFIGMAP, *ports, "--access-log", str(log), *flags))

    def beside(self) -> Headrace:
        """The same controller, asked on its plain listeners."""
        found = Headrace(self.headrace.directory, self.headrace.manifests)
        found.http, found.https, found.log = self.http, self.https, self.headrace.log
        return found


@pytest.fixture(scope="module", params=["ended", "passed"])
def plain(
    request: pytest.FixtureRequest, run: Run, objects: list[Object], tmp_path_factory: pytest.TempPathFactory
) -> Plain:
    """With and without --enable-ssl-passthrough: clients must not tell the difference."""
    flags = ("--enable-ssl-passthrough",) if request.param == "passed" else ()
    return Plain(run, objects, tmp_path_factory.mktemp("log") / "access.log", *flags)


def headers(headrace: Headrace, url: str, first: bytes = b"") -> dict[str, str]:
    found: dict[str, str] = headrace.get(url, first=first).json["headers"]
    return found


@pytest.mark.parametrize("line", [line_of, binary_line_of])
def test_the_announced_client_over_https(plain: Plain, line: object) -> None:
    seen = headers(plain.headrace, "https://app.test/", line(CLIENT, 443))  # type: ignore[operator]
    assert (seen["x-real-ip"], seen["x-forwarded-port"], seen["x-forwarded-proto"]) == (CLIENT, "443", "https")


def test_the_announced_client_over_http(plain: Plain) -> None:
    seen = headers(plain.headrace, "http://app.test/", line_of(CLIENT, 80))
    assert (seen["x-real-ip"], seen["x-forwarded-port"], seen["x-forwarded-proto"]) == (CLIENT, "80", "http")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_without_the_header_nobody_gets_in(plain: Plain, scheme: str) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        plain.headrace.get(f"{scheme}://app.test/", timeout=3)


@pytest.mark.parametrize(("scheme", "port"), [("http", "own"), ("https", "443")])
def test_the_plain_listeners_take_calls_without_it(plain: Plain, scheme: str, port: str) -> None:
    seen = headers(plain.beside(), f"{scheme}://app.test/")
    assert (seen["x-real-ip"], seen["x-forwarded-proto"]) == ("127.0.0.1", scheme)
    assert seen["x-forwarded-port"] == (str(plain.http) if port == "own" else port)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_plain_listeners_believe_no_header(plain: Plain, scheme: str) -> None:
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        assert plain.beside().get(f"{scheme}://app.test/", first=line_of(CLIENT, 443), timeout=3).status == 200


# -- with passthrough


@pytest.fixture(scope="module")
def passed(run: Run, objects: list[Object], tmp_path_factory: pytest.TempPathFactory) -> Plain:
    found = Plain(
        run, objects, tmp_path_factory.mktemp("log") / "access.log", "--enable-ssl-passthrough",
        proxy_real_ip_cidr="127.0.0.1/32",
    )  # fmt: skip
    found.headrace.until(lambda: secure(found, CLIENT))
    return found


def secure(plain: Plain, client: str, host: str = "pass.test", source: str = "127.0.0.1") -> bool:
    """Whether the pods answer a client that was announced so."""
    try:
        answer = plain.headrace.get(f"https://{host}/", first=line_of(client, 443), source=source)
    except (ssl.SSLError, ConnectionError):
        return False
    return answer.backend == "secure"


def test_the_header_does_not_come_to_the_pods(passed: Plain) -> None:
    assert secure(passed, CLIENT)
    assert passed.headrace.get("https://pass.test/", first=line_of(CLIENT, 443)).json["tls"]["sni"] == "pass.test"


def test_pods_on_the_plain_listener(passed: Plain) -> None:
    assert shake(passed.beside(), "pass.test").leaf == leaf_of(PODS)
    assert shake(passed.beside(), "app.test").leaf != leaf_of(PODS)


def test_lists_look_at_the_announced_client(passed: Plain) -> None:
    assert secure(passed, CLIENT, "listed.test")
    assert not secure(passed, PROXY, "listed.test")


def test_only_a_trusted_peer_can_announce(passed: Plain) -> None:
    assert not secure(passed, CLIENT, "listed.test", source="127.0.0.3")
    seen = passed.headrace.get("https://app.test/", first=line_of(CLIENT, 443), source="127.0.0.3").json["headers"]
    assert seen["x-real-ip"] == "127.0.0.3"


def test_the_log_names_the_announced_client(passed: Plain) -> None:
    passed.headrace.until(lambda: f"[{CLIENT}] [" in passed.log.read_text())


def test_trusted_forwarded_headers(run: Run, objects: list[Object], tmp_path: Path) -> None:
    plain = Plain(
        run, objects, tmp_path / "access.log", "--enable-ssl-passthrough",
        use_forwarded_headers="true", proxy_real_ip_cidr="127.0.0.1/32,198.51.100.0/24",
    )  # fmt: skip
    asked = plain.headrace.get(
        "https://app.test/", first=line_of(PROXY, 443), headers={"X-Forwarded-For": CLIENT, "X-Forwarded-Port": "8443"}
    )
    assert (asked.json["headers"]["x-real-ip"], asked.json["headers"]["x-forwarded-port"]) == (CLIENT, "8443")


def test_forwarded_headers_without_the_protocol(run: Run, objects: list[Object]) -> None:
    """The whole chain counts, as without passthrough."""
    settings = configmap(use_forwarded_headers="true", proxy_real_ip_cidr="127.0.0.0/8,198.51.100.0/24")
    headrace = run(*objects, settings, flags=(*CONFIGMAP, "--enable-ssl-passthrough"))
    chain = {"X-Forwarded-For": f"192.0.2.66, {CLIENT}, {PROXY}"}
    assert headrace.get("https://app.test/", headers=chain).json["headers"]["x-real-ip"] == CLIENT


def test_the_protocol_is_turned_on_and_off(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects, flags=(*CONFIGMAP, "--enable-ssl-passthrough"))
    assert headrace.get("https://app.test/").backend == "app"
    headrace.write("settings.yaml", configmap(use_proxy_protocol="true"))
    headrace.until(lambda: headrace.get("https://app.test/", first=line_of(CLIENT, 443)).backend == "app")
    headrace.write("settings.yaml", configmap())
    headrace.until(lambda: headrace.get("https://app.test/").backend == "app")
