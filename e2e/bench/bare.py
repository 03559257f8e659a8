"""Bare nginx: what somebody writes by hand who wants a fast reverse proxy for fixed backends, and nothing else.

Two workers, kept connections to the backends, the headers that every manual shows, TLS settings equal to ours (they
decide about the cost of a handshake). `Variant` has what figures are compared over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2e.bench.shapes import ENDLESS, Shape


@dataclass(frozen=True)
class Variant:
    """`zone`: the peers stand in shared memory; `log`: an access log in nginx's own format; `alike`: pods get the same
    headers as from ours, in buffers of the same size."""

    zone: bool = False
    log: bool = False
    alike: bool = False


_HEADERS = """
proxy_set_header Connection "";
proxy_set_header Host $host;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
"""

_HEADERS_AND_BUFFERS_OF_OURS = """
map $http_upgrade $kept_or_upgraded { default upgrade; "" ""; }
map $https $hsts { on "max-age=31536000; includeSubDomains"; }
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $kept_or_upgraded;
proxy_set_header Host $http_host;
proxy_set_header X-Request-ID $request_id;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Host $http_host;
proxy_set_header X-Forwarded-Port $server_port;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Scheme $scheme;
proxy_set_header X-Scheme $scheme;
proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
proxy_set_header X-Original-Forwarded-Host $http_x_forwarded_host;
proxy_set_header Proxy "";
add_header Strict-Transport-Security $hsts always;
proxy_buffering off;
proxy_buffer_size 4k;
ssl_buffer_size 4k;
"""
"""What somebody writes out who knows that no client names another host in the request line than in `Host`, that no
other proxy stands in front, and the ports."""


def written(shape: Shape, variant: Variant, directory: Path, http: int, https: int, backend: tuple[int, int]) -> str:
    """The whole configuration; `backend` is the port for HTTP and the one for gRPC."""
    hosts = "".join(_host(host, shape, variant, http, https, backend) for host in shape.hosts)
    log = f"access_log {directory}/access.log combined;" if variant.log else "access_log off;"
    endless = f"keepalive_requests {ENDLESS};" if shape.grpc else ""
    return framed(directory, log, endless, hosts, headers=_HEADERS_AND_BUFFERS_OF_OURS if variant.alike else _HEADERS)


def framed(directory: Path, *written: str, headers: str = _HEADERS) -> str:
    """What stands around hosts; `written` goes into `http`. Hosts without a certificate of their own get tls.pem."""
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
worker_processes 2;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; multi_accept on; }}
http {{
{temporary}
server_names_hash_max_size 65536;
server_names_hash_bucket_size 128;
tcp_nopush on;
http2 on;
ssl_certificate {directory}/tls.pem;
ssl_certificate_key {directory}/tls.pem;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:TLS:10m;
ssl_session_timeout 10m;
ssl_session_tickets off;
proxy_http_version 1.1;
{headers}
{chr(10).join(written)}
}}
"""


def _host(host: str, shape: Shape, variant: Variant, http: int, https: int, backend: tuple[int, int]) -> str:
    port = backend[1] if shape.grpc else backend[0]
    zone = "zone peers 32m;" if variant.zone else ""
    name = host.replace(".", "_")
    upstream = "grpc_pass grpc" if shape.grpc else "proxy_pass http"
    places = "".join(
        f"location {'~ ^' if shape.regex else ''}{path} {{ {upstream}://{name}; }}\n" for path in shape.paths
    )
    idle = 320 if len(shape.hosts) < 100 else 8
    return f"""
upstream {name} {{ {zone} server 127.0.0.1:{port}; keepalive {idle}; keepalive_requests 10000; }}
server {{
server_name {host};
listen 127.0.0.1:{http};
listen 127.0.0.1:{https} ssl;
{places}
}}
"""
