"""What nginx shall do, in nginx's nouns but without its text: the value between `translate` and `render`.

Two equal Configurations render to the same bytes. There are no pod addresses in it: an Upstream names a Service port,
and nginx asks our DNS responder for its addresses (docs/architecture.md, "Endpoints").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from controller.model.diagnostics import Report
from controller.model.features import ServerFeature
from controller.model.features.balancing import IN_TURN, Balancing, Method, Sticks
from controller.model.features.response_headers import ResponseHeader
from controller.model.policy import LocationPolicy
from controller.model.refs import ObjectKey, RuleRef
from controller.model.secretbytes import SecretBytes
from controller.model.stream import Streams
from controller.model.urls import UrlOfService

DEFAULT_CERTIFICATE = "default"
"""Stands for the default certificate, whichever that is: `Configuration.default_certificate` or the self-signed one."""

CATCH_ALL = ""
"""The host of the server that takes every request no other server takes."""


class MatchKind(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


class PathMatch(NamedTuple):
    """Which URIs a location takes, always against the normalised, percent-decoded path.

    `PREFIX` is element-wise as Kubernetes means it: `/foo` takes `/foo` and `/foo/bar`, not `/foobar`; `/foo/` takes
    the same. `REGEX` is case-insensitive and anchored at the start only; `path` holds the expression without `^`.
    """

    kind: MatchKind
    path: str


class ProxyPass(NamedTuple):
    """Hand the request to an upstream, by its id. `external`: outside the cluster, so a connection may take longer."""

    upstream: str
    external: bool = False


class Return(NamedTuple):
    """Answer with a status code and nginx's own page."""

    code: int


class RedirectHost(NamedTuple):
    """Answer with a redirect to the same URI of another host (`from-to-www-redirect`)."""

    host: str


Action = ProxyPass | Return | RedirectHost


@dataclass(frozen=True, slots=True)
class Location:
    """One location of a server. `service` and `port` are as written in the Ingress, for logs and metrics."""

    match: PathMatch
    action: Action
    origin: RuleRef | None
    policy: LocationPolicy = field(default_factory=LocationPolicy)
    service: str = ""
    port: str = ""


class Alias(NamedTuple):
    """One more name of a host, with the certificate that covers it (as `Server.certificate`)."""

    name: str
    certificate: str | None


@dataclass(frozen=True, slots=True)
class Server:
    """One host. `host` is lower-case; `*.example.com` takes exactly one label; `CATCH_ALL` takes the rest.

    `locations` holds no `/` prefix twice and always ends in a fallback: whatever no other location takes.
    `tls` tells whether the host counts as TLS-enabled (redirects hang on it). `certificate` is the id of the host's own
    certificate, or `DEFAULT_CERTIFICATE`; None where the host has no tls section, and then the certificate of its
    wildcard host serves, if there is one. `regex` hosts match every location as a regular expression, in that order.
    """

    host: str
    locations: tuple[Location, ...]
    fallback: Location
    tls: bool = False
    certificate: str | None = None
    regex: bool = False
    origins: tuple[ObjectKey, ...] = ()
    aliases: tuple[Alias, ...] = ()
    features: tuple[ServerFeature, ...] = ()


class Idle(NamedTuple):
    """Idle connections that each worker keeps: how many, for how many requests, for how many seconds."""

    connections: int
    requests: int
    seconds: int


class ServicePortRef(NamedTuple):
    """One port of a Service, by the label that our DNS knows it by."""

    service: ObjectKey
    dns_port: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """The pods behind one port of one Service.

    `id` is `namespace.service.port` with the port as the Ingress writes it. `dns_port` is the label our DNS responder
    knows the port by: the Service port's name, or its number where it has none. Where it is not spoken to in plain HTTP
    the id tells how, since `keeps` (connections are used again) is by upstream. `host` is set where this is the host of
    a URL and no Service: it is what to resolve, `service` only a name in our DNS, and `dns_port` the number. `idle`:
    which connections are kept, where not as for all. `place` is set where requests go through the Service's own
    address, as `address:port`. `otherwise`: a Service port whose pods answer while this one has none.
    """

    id: str
    service: ObjectKey
    dns_port: str
    external: bool = False
    keeps: bool = True
    host: str = ""
    idle: Idle | None = None
    balancing: Balancing = IN_TURN
    sticks: Sticks | None = None
    place: str = ""
    otherwise: ServicePortRef | None = None

    @property
    def dns_name(self) -> str:
        """Name of the Service in the DNS schema of Kubernetes, without the cluster domain.

        With a stand-in its name follows (`controller.endpoints.zone`).
        """
        own = f"{self.service.name}.{self.service.namespace}"
        if self.otherwise is None:
            return f"{own}.svc"
        other, port = self.otherwise
        both = self.service.name if other.namespace == self.service.namespace else own
        return f"{both}.or.{port}.{other.name}.{other.namespace}.svc"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A parsed, matching key pair. `id` is safe as a file name and stays the same when the Secret is rotated.

    `names`: lower-case DNS names the leaf is valid for. `not_after`: seconds since the epoch. `pem`: the chain, leaf
    first, then the key: what nginx reads.
    """

    id: str
    secret: ObjectKey | None
    names: tuple[str, ...]
    not_after: int
    digest: str
    pem: SecretBytes


class LogEscape(StrEnum):
    DEFAULT = "default"
    JSON = "json"
    NONE = "none"


DEFAULT_LOG_FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] '
    "$upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"
)
"""The access log line of ingress-nginx, so that log pipelines keep working."""

DEFAULT_STREAM_LOG_FORMAT = "[$remote_addr] [$time_local] $protocol $status $bytes_sent $bytes_received $session_time"
"""The same for TCP and UDP services."""

DEFAULT_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256"
)


DEFAULT_GZIP_TYPES = tuple(
    """
    application/atom+xml application/javascript application/x-javascript application/json application/rss+xml
    application/vnd.ms-fontobject application/x-font-ttf application/x-web-app-manifest+json application/xhtml+xml
    application/xml font/opentype image/svg+xml image/x-icon text/css text/javascript text/plain text/x-component
    """.split()
)


@dataclass(frozen=True, slots=True)
class MainSettings:
    """The controller's ConfigMap, typed. Field names are the keys with underscores; times are in seconds.

    `None` leaves the choice to the renderer (for example the number of workers).
    """

    # client address and forwarded headers
    use_forwarded_headers: bool = False
    compute_full_forwarded_for: bool = False
    forwarded_for_header: str = "X-Forwarded-For"
    enable_real_ip: bool = False
    proxy_real_ip_cidr: tuple[str, ...] = ("0.0.0.0/0",)
    use_proxy_protocol: bool = False
    generate_request_id: bool = True
    proxy_add_original_uri_header: bool = False
    enable_underscores_in_headers: bool = False
    ignore_invalid_headers: bool = True
    forwarded_host_header: str = "X-Forwarded-Host"
    # headers. The first two name ConfigMaps, whose entries become the two after them.
    add_headers: str = ""
    proxy_set_headers: str = ""
    response_headers: tuple[ResponseHeader, ...] = ()
    request_headers: tuple[ResponseHeader, ...] = ()
    hide_headers: tuple[str, ...] = ()
    allow_backend_server_header: bool = False
    default_type: str = "text/html"
    # who is turned away: whole values, or regular expressions after a tilde
    block_user_agents: tuple[str, ...] = ()
    block_referers: tuple[str, ...] = ()
    nginx_status_ipv4_whitelist: tuple[str, ...] = ("127.0.0.1",)
    nginx_status_ipv6_whitelist: tuple[str, ...] = ("::1",)
    # access and error log
    disable_access_log: bool = False
    access_log_path: str = ""
    access_log_format: str = "text"
    log_format_upstream: str = DEFAULT_LOG_FORMAT
    log_format_escape: LogEscape = LogEscape.DEFAULT
    enable_access_log_for_default_backend: bool = False
    error_log_level: str = "notice"
    disable_http_access_log: bool = False
    http_access_log_path: str = ""
    access_log_params: str = ""
    error_log_path: str = ""
    enable_auth_access_log: bool = False
    skip_access_log_urls: tuple[str, ...] = ()
    enable_syslog: bool = False
    syslog_host: str = ""
    syslog_port: int = 514
    debug_connections: tuple[str, ...] = ()
    # TLS
    ssl_protocols: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")
    ssl_ciphers: str = DEFAULT_CIPHERS
    ssl_session_cache: bool = True
    ssl_session_cache_size: str = "10m"
    ssl_session_timeout: str = "10m"
    ssl_session_tickets: bool = False
    ssl_buffer_size: str = "4k"
    ssl_reject_handshake: bool = False
    ssl_ecdh_curve: str = "auto"
    ssl_dh_param: str = ""
    ssl_dh_param_file: str = ""
    ssl_early_data: bool = False
    ssl_session_ticket_key: SecretBytes | None = None
    ssl_session_ticket_key_file: str = ""
    proxy_ssl_location_only: bool = False
    hsts: bool = True
    hsts_max_age: int = 31_536_000
    hsts_include_subdomains: bool = True
    hsts_preload: bool = False
    # redirects (defaults of the annotations of the same name)
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    http_redirect_code: int = 308
    no_tls_redirect_locations: tuple[str, ...] = ("/.well-known/acme-challenge",)
    preserve_trailing_slash: bool = False
    use_port_in_redirects: bool = False
    relative_redirects: bool = False
    # who may use a location, and how much (defaults of the annotations; `block_cidrs` holds for every host)
    whitelist_source_range: tuple[str, ...] = ()
    denylist_source_range: tuple[str, ...] = ()
    block_cidrs: tuple[str, ...] = ()
    limit_req_status_code: int = 503
    limit_conn_status_code: int = 503
    limit_divide_by_replicas: bool = False
    limit_conn_zone_variable: str = "$binary_remote_addr"
    limit_rate: int = 0
    limit_rate_after: int = 0
    # who has to prove who they are (defaults of the annotations `auth-*`)
    global_auth_url: UrlOfService | None = None
    global_auth_method: str = ""
    global_auth_signin: str = ""
    global_auth_signin_redirect_param: str = "rd"
    global_auth_response_headers: tuple[str, ...] = ()
    global_auth_request_redirect: str = ""
    global_auth_cache_key: str = ""
    global_auth_cache_duration: tuple[str, ...] = ("200 202 401 300s",)
    global_auth_always_set_cookie: bool = False
    no_auth_locations: tuple[str, ...] = ("/.well-known/acme-challenge",)
    # proxying
    proxy_body_size: str = "1m"
    proxy_connect_timeout: int | None = None
    proxy_read_timeout: int = 60
    proxy_send_timeout: int = 60
    proxy_buffering: bool = False
    proxy_request_buffering: bool = True
    proxy_buffer_size: str = "4k"
    proxy_buffers_number: int = 4
    proxy_busy_buffers_size: str = ""
    proxy_max_temp_file_size: str = "1024m"
    proxy_http_version: str = "1.1"
    proxy_cookie_domain: tuple[str, ...] = ()
    proxy_cookie_path: tuple[str, ...] = ()
    proxy_redirect_from: str = "off"
    proxy_redirect_to: str = "off"
    proxy_next_upstream: tuple[str, ...] = ("error", "timeout")
    proxy_next_upstream_timeout: int = 0
    proxy_next_upstream_tries: int = 3
    retry_non_idempotent: bool = False
    load_balance: Method = Method.ROUND_ROBIN
    service_upstream: bool = False
    upstream_keepalive_connections: int = 320
    upstream_keepalive_timeout: int = 60
    upstream_keepalive_time: str = "1h"
    grpc_buffer_size_kb: int = 0
    upstream_keepalive_requests: int = 10_000
    # clients
    client_header_buffer_size: str = "1k"
    client_header_timeout: int = 60
    client_body_buffer_size: str = "8k"
    client_body_timeout: int = 60
    large_client_header_buffers: str = "4 8k"
    keep_alive: int = 75
    keep_alive_requests: int = 1000
    use_http2: bool = True
    http2_max_concurrent_streams: int = 128
    server_tokens: bool = False
    use_gzip: bool = False
    gzip_level: int = 1
    gzip_min_length: int = 256
    gzip_types: tuple[str, ...] = DEFAULT_GZIP_TYPES
    gzip_disable: str = ""
    # workers
    worker_processes: int | None = None
    worker_shutdown_timeout: int = 240
    max_worker_connections: int = 16_384
    enable_multi_accept: bool = True
    disable_ipv6: bool = False
    worker_cpu_affinity: str = ""
    max_worker_open_files: int = 0
    reuse_port: bool = False
    enable_serial_reloads: bool = False
    enable_aio_write: bool = False
    bind_address: tuple[str, ...] = ()
    # sizes of tables of nginx: at least these
    server_name_hash_max_size: int = 1024
    server_name_hash_bucket_size: int = 64
    map_hash_bucket_size: int = 64
    proxy_headers_hash_max_size: int = 1024
    proxy_headers_hash_bucket_size: int = 256
    variables_hash_max_size: int = 2048
    variables_hash_bucket_size: int = 256
    # answers
    global_allowed_response_headers: tuple[str, ...] = ()
    custom_http_errors: tuple[int, ...] = ()
    disable_proxy_intercept_errors: bool = False
    # TCP and UDP services, TLS that is passed through
    proxy_stream_timeout: int = 600
    proxy_stream_responses: int = 1
    proxy_stream_next_upstream: bool = True
    proxy_stream_next_upstream_timeout: int = 600
    proxy_stream_next_upstream_tries: int = 3
    proxy_protocol_header_timeout: int = 5
    log_format_stream: str = DEFAULT_STREAM_LOG_FORMAT
    stream_access_log_path: str = ""
    disable_stream_access_log: bool = False
    # strictness and hold
    strict_validate_path_type: bool = False
    allow_missing_waf: bool = False
    # what annotations may do
    allow_cross_namespace_resources: bool = False
    annotations_risk_level: str = "High"
    annotation_value_word_blocklist: tuple[str, ...] = ()
    hold: bool = True
    hold_deadline: float = 3.0


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything nginx shall do. `servers` always holds the catch-all; `default_certificate` is an id or None."""

    main: MainSettings
    servers: dict[str, Server]
    upstreams: dict[str, Upstream]
    certificates: dict[str, Certificate]
    default_certificate: str | None = None
    main_origins: tuple[ObjectKey, ...] = ()
    health_check_path: str = "/healthz"
    files: dict[str, SecretBytes | bytes] = field(default_factory=dict)
    """What nginx reads beside its configuration (user lists, CAs), by file name."""
    streams: Streams = field(default_factory=Streams)


@dataclass(frozen=True, slots=True)
class References:
    """Objects that the configuration depends on, **including those that do not exist yet**."""

    secrets: frozenset[ObjectKey] = frozenset()
    configmaps: frozenset[ObjectKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Translation:
    """What `translate` makes of a snapshot. `ingresses` are those that this controller takes, oldest first."""

    configuration: Configuration
    report: Report
    references: References
    ingresses: tuple[ObjectKey, ...] = ()
