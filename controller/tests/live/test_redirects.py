"""Plain HTTP is sent to HTTPS where a host has TLS, with the exact Location; and HSTS on every answer over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress

PREFIX = "Prefix"
CHALLENGE = "/.well-known/acme-challenge"


@dataclass(frozen=True)
class Ask:
    """A request, and the Location it is sent to (`PORT` stands for the HTTPS port) or the status it gets."""

    url: str
    answer: str | int
    host: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"

    def __str__(self) -> str:
        return " ".join([self.method, self.url, self.host or "", *self.headers.values(), "->", str(self.answer)])


def tls(host: str, *rules: tuple[str, str, str, str], name: str = "", **annotations: str) -> Object:
    """An Ingress with a tls section for the host; the default certificate will do."""
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name or host.replace("*.", "any."), *rules, tls=[{"hosts": [host]}], annotations=written)


def objects() -> list[Object]:
    return [
        tls("tls.test", ("tls.test", "/", PREFIX, "one")),
        tls("challenge.test", ("challenge.test", "/", PREFIX, "one"),
            ("challenge.test", f"{CHALLENGE}/token", "Exact", "one")),
        ingress("plain", ("plain.test", "/", PREFIX, "one")),
        tls("off.test", ("off.test", "/", PREFIX, "one"), ssl_redirect="false"),
        tls("odd.test", ("odd.test", "/", PREFIX, "one"), ssl_redirect="no"),
        ingress("force", ("force.test", "/", PREFIX, "one"), annotations={"force-ssl-redirect": "true"}),
        ingress("force-hostless", ("", "/forced", PREFIX, "one"), annotations={"force-ssl-redirect": "true"}),
        tls("slash.test", ("slash.test", "/", PREFIX, "one"), preserve_trailing_slash="true"),
        tls("missing.test", ("missing.test", "/", PREFIX, "nope")),
        tls("mixed.test", ("mixed.test", "/on", PREFIX, "one")),
        tls("mixed.test", ("mixed.test", "/off", PREFIX, "one"), name="mixed-off", ssl_redirect="false"),
        tls("*.wild.test", ("*.wild.test", "/", PREFIX, "one")),
        ingress("in-wild", ("in.wild.test", "/", PREFIX, "one")),
        tls("listed.test", ("unlisted.test", "/", PREFIX, "one"), name="unlisted"),
        tls("regex.test", ("regex.test", "/api(/|$)(.*)", "ImplementationSpecific", "one"), rewrite_target="/$2"),
        tls("path.test", ("path.test", "/only", PREFIX, "one")),
    ]  # fmt: skip


TABLE = [
    Ask("http://tls.test/", "https://tls.test:PORT"),
    Ask("http://tls.test/a/b?x=1&y=/z", "https://tls.test:PORT/a/b?x=1&y=/z"),
    Ask("http://tls.test/a/", "https://tls.test:PORT/a"),
    Ask("http://tls.test/a//", "https://tls.test:PORT/a/"),
    Ask("http://tls.test/a/?next=/b/", "https://tls.test:PORT/a/?next=/b"),
    Ask("http://tls.test/caf%C3%A9/%2F?q=a%20b+c", "https://tls.test:PORT/caf%C3%A9/%2F?q=a%20b+c"),
    Ask("http://tls.test/x/../a/./b", "https://tls.test:PORT/x/../a/./b"),
    Ask("http://tls.test/", "https://tls.test:PORT", host="tls.test:8080"),
    Ask("http://tls.test/", "https://tls.test:PORT", host="TLS.test"),
    Ask("http://tls.test/", 308, method="POST"),
    Ask("http://tls.test/", 308, method="HEAD"),
    Ask("http://tls.test/", "https://tls.test:PORT", headers={"X-Forwarded-Proto": "https"}),
    Ask("http://tls.test/", "https://tls.test:PORT", headers={"X-Forwarded-Host": "evil.test"}),
    Ask("https://tls.test/", 200),
    Ask("https://tls.test/", 200, headers={"X-Forwarded-Proto": "http"}),
    Ask(f"http://tls.test{CHALLENGE}/token", f"https://tls.test:PORT{CHALLENGE}/token"),
    Ask(f"http://challenge.test{CHALLENGE}/token", 200),
    Ask(f"http://challenge.test{CHALLENGE}/other", f"https://challenge.test:PORT{CHALLENGE}/other"),
    Ask("http://plain.test/", 200),
    Ask("http://off.test/", 200),
    Ask("http://odd.test/", "https://odd.test:PORT"),
    Ask("http://force.test/x", "https://force.test:PORT/x"),
    Ask("https://force.test/x", 200),
    Ask("http://whoever.test/forced", "https://whoever.test:PORT/forced"),
    Ask("http://whoever.test/else", 404),
    Ask("http://slash.test/", "https://slash.test:PORT/"),
    Ask("http://slash.test/a/", "https://slash.test:PORT/a/"),
    Ask("http://missing.test/", "https://missing.test:PORT"),
    Ask("https://missing.test/", 503),
    Ask("http://mixed.test/on", "https://mixed.test:PORT/on"),
    Ask("http://mixed.test/off", 200),
    Ask("http://a.wild.test/", "https://a.wild.test:PORT"),
    Ask("http://in.wild.test/", "https://in.wild.test:PORT"),
    Ask("http://unlisted.test/", "https://unlisted.test:PORT"),
    Ask("http://regex.test/api/x", "https://regex.test:PORT/api/x"),
    Ask("http://path.test/elsewhere", "https://path.test:PORT/elsewhere"),
]


def check(headrace: Headrace, ask: Ask, port: str = "") -> None:
    answer = headrace.get(ask.url, host=ask.host, headers=ask.headers, method=ask.method)
    if isinstance(ask.answer, int):
        assert answer.status == ask.answer, answer
    else:
        location = ask.answer.replace("PORT", port or str(headrace.https))
        assert (answer.status, answer.headers.get("location")) == (308, location)


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    yield run(*objects(), *app("one", backends.start("one")))


@pytest.mark.shows("ssl-redirect", "force-ssl-redirect", "preserve-trailing-slash")
@pytest.mark.parametrize("ask", TABLE, ids=str)
def test_where_a_plain_request_is_sent(headrace: Headrace, ask: Ask) -> None:
    check(headrace, ask)


def test_a_client_that_follows_keeps_its_method_and_body(headrace: Headrace) -> None:
    first = headrace.get("http://tls.test/form", method="POST", body=b"a=1")
    assert first.status == 308
    path = first.headers["location"].removeprefix(f"https://tls.test:{headrace.https}")
    second = headrace.get(f"https://tls.test{path}", method="POST", body=b"a=1")
    assert (second.json["method"], second.json["target"], second.json["body"]) == ("POST", "/form", "a=1")


@pytest.mark.shows(
    "configmap:http-redirect-code", "configmap:no-tls-redirect-locations", "configmap:preserve-trailing-slash"
)
@pytest.mark.shows("configmap:hsts-max-age", "configmap:hsts-include-subdomains", "configmap:hsts-preload")
def test_keys_change_code_exemptions_and_slash_and_the_usual_port_is_left_out(run: Run, backends: Backends) -> None:
    headrace = run(
        *objects(),
        *app("one", backends.start("one")),
        configmap(
            http_redirect_code="301", no_tls_redirect_locations="/only, /none", preserve_trailing_slash="true",
            hsts_max_age="60", hsts_include_subdomains="false", hsts_preload="true",
        ),
        flags=(*CONFIGMAP, "--public-https-port", "443"),
    )  # fmt: skip
    moved = headrace.get("http://tls.test/a/")
    assert (moved.status, moved.headers["location"]) == (301, "https://tls.test/a/")
    assert headrace.get("http://path.test/only").status == 200
    assert headrace.get("http://path.test/elsewhere").status == 301
    assert headrace.get(f"http://challenge.test{CHALLENGE}/token").status == 301
    assert headrace.get("https://tls.test/").headers["strict-transport-security"] == "max-age=60; preload"


@pytest.mark.shows("configmap:ssl-redirect", "configmap:hsts")
def test_keys_turn_redirects_and_hsts_off_for_whoever_does_not_ask_for_them(run: Run, backends: Backends) -> None:
    headrace = run(
        *objects(),
        tls("on.test", ("on.test", "/", PREFIX, "one"), ssl_redirect="true"),
        *app("one", backends.start("one")),
        configmap(ssl_redirect="false", hsts="false", http_redirect_code="200"),
        flags=CONFIGMAP,
    )
    check(headrace, Ask("http://tls.test/", 200))
    check(headrace, Ask("http://on.test/a/", "https://on.test:PORT/a"))
    check(headrace, Ask("http://force.test/", "https://force.test:PORT"))
    backends_own = headrace.get("https://tls.test/").headers["strict-transport-security"]
    assert backends_own == "max-age=1"
    assert "strict-transport-security" not in headrace.get("https://nobody.test/").headers


@pytest.mark.shows("configmap:force-ssl-redirect")
def test_the_forwarded_scheme_decides_where_it_is_trusted(run: Run, backends: Backends) -> None:
    headrace = run(
        *objects(),
        ingress("everything", ("", "/all", PREFIX, "one"), default="one"),
        *app("one", backends.start("one")),
        configmap(use_forwarded_headers="true", force_ssl_redirect="true", proxy_real_ip_cidr="127.0.0.1"),
        flags=CONFIGMAP,
    )
    for ask in (
        Ask("http://tls.test/", 200, headers={"X-Forwarded-Proto": "https"}),
        Ask("http://tls.test/", 200, headers={"X-Forwarded-Proto": "https, http"}),
        Ask("http://tls.test/", "https://tls.test:PORT", headers={"X-Forwarded-Proto": "http"}),
        Ask("http://tls.test/", "https://tls.test:PORT"),
        Ask("https://tls.test/", "https://tls.test:PORT", headers={"X-Forwarded-Proto": "http"}),
        Ask("https://tls.test/", 200),
        Ask("http://plain.test/", "https://plain.test:PORT"),
        Ask("http://unknown.test/x", "https://unknown.test:PORT/x"),
        Ask("http://unknown.test/healthz", 200),
        Ask(
            "http://tls.test/", "https://public.test:PORT", headers={"X-Forwarded-Host": "public.test:8443, inner.test"}
        ),
        Ask("http://tls.test/", "https://tls.test:PORT", headers={"X-Forwarded-Host": "/evil.test"}),
    ):
        check(headrace, ask)
    untrusted = headrace.get("http://tls.test/", headers={"X-Forwarded-Proto": "https"}, source="127.0.0.2")
    assert untrusted.status == 308
    trusted = headrace.get("http://tls.test/", headers={"X-Forwarded-Proto": "https"})
    assert "strict-transport-security" not in trusted.headers


HEAD_END = b"\r\n\r\n"
HSTS = b"strict-transport-security: max-age=31536000; includesubdomains"


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        ("GET / HTTP/1.1", "tls.test", b"200"),
        ("GET /status/418 HTTP/1.1", "tls.test", b"418"),
        ("GET / HTTP/1.1", "plain.test", b"200"),
        ("GET / HTTP/1.1", "missing.test", b"503"),
        ("GET / HTTP/1.1", "unknown.test", b"404"),
        ("GET /healthz HTTP/1.1", "unknown.test", b"200"),
        ("GET / HTTP/1.1\r\nContent-Length: 99999999", "tls.test", b"413"),
        ("GET /%zz HTTP/1.1", "tls.test", b"400"),
    ],
)
def test_hsts_stands_once_on_every_answer_over_tls(
    headrace: Headrace, request_line: str, host: str, status: bytes
) -> None:
    request = f"{request_line}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    lines = headrace.raw(request, tls=host, until=HEAD_END).partition(HEAD_END)[0].lower().split(b"\r\n")
    assert lines[0].split()[1] == status
    assert [line for line in lines if line.startswith(b"strict-transport")] == [HSTS]


@pytest.mark.parametrize("url", ["http://plain.test/", "http://tls.test/", "http://unknown.test/"])
def test_hsts_is_never_sent_over_plain_http(headrace: Headrace, url: str) -> None:
    assert "strict-transport-security" not in headrace.get(url, headers={"X-Forwarded-Proto": "https"}).headers
