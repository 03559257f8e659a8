"""Lines that only the ConfigMap decides, for the contexts main, events, http and server.

What nginx cannot have here (a module, more files than the system allows) is left out or bounded, never written: one
line that nginx refuses would cost the whole configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.configuration import MainSettings
from controller.model.layout import Layout
from controller.render.hidden_headers import WRITTEN_BY_NGINX
from controller.render.quoting import NginxText, key, quoted, template, word

Lines = tuple[NginxText, ...]


@dataclass(frozen=True, slots=True)
class Own:
    """Lines by context. `gzip`: where compression is on."""

    main: Lines
    events: Lines
    http: Lines
    gzip: Lines


def of_http(main: MainSettings, layout: Layout) -> Own:
    """Everything at once."""
    return Own(
        main=_main(main),
        events=tuple(NginxText(f"debug_connection {word(network)};") for network in _debugged(main, layout)),
        http=(*_tables(main), *_tls(main, layout), *_headers(main, layout), *_maps(main), *_sundry(main, layout)),
        gzip=_gzip(main),
    )


def _main(main: MainSettings) -> Lines:
    targets = [_log_target(main.error_log_path) if main.error_log_path else word("stderr")]
    targets += [_syslog(main)] if main.enable_syslog and main.syslog_host else []
    lines = [f"error_log {target} {word(main.error_log_level)};" for target in targets]
    if main.worker_cpu_affinity:
        lines.append(f"worker_cpu_affinity {' '.join(map(word, main.worker_cpu_affinity.split()))};")
    return tuple(map(NginxText, lines))


def _debugged(main: MainSettings, layout: Layout) -> tuple[str, ...]:
    return main.debug_connections if layout.nginx.has("debug") else ()


def _tables(main: MainSettings) -> Lines:
    """Below our own sizes nginx could not hold its own names."""
    sizes = {
        "variables_hash_max_size": max(main.variables_hash_max_size, 2048),
        "variables_hash_bucket_size": max(main.variables_hash_bucket_size, 256),
        "proxy_headers_hash_max_size": max(main.proxy_headers_hash_max_size, 1024),
        "proxy_headers_hash_bucket_size": max(main.proxy_headers_hash_bucket_size, 256),
    }
    return tuple(NginxText(f"{name} {size};") for name, size in sizes.items())


def _tls(main: MainSettings, layout: Layout) -> Lines:
    lines = [f"ssl_ecdh_curve {word(main.ssl_ecdh_curve)};"]
    if main.ssl_dh_param_file:
        lines.append(f"ssl_dhparam {quoted(f'{layout.certificates_dir}/{main.ssl_dh_param_file}')};")
    if main.ssl_session_ticket_key_file:
        path = f"{layout.certificates_dir}/{main.ssl_session_ticket_key_file}"
        lines.append(f"ssl_session_ticket_key {quoted(path)};")
    lines += ["ssl_early_data on;"] if main.ssl_early_data else []
    return tuple(map(NginxText, lines))


def clears_server_header(main: MainSettings, layout: Layout) -> bool:
    own = any(header.name.lower() == "server" for header in main.response_headers)
    return not (main.server_tokens or main.allow_backend_server_header or own) and layout.nginx.has("headers-more")


def _headers(main: MainSettings, layout: Layout) -> Lines:
    lines = []
    for header in main.response_headers:
        if header.name.lower() not in WRITTEN_BY_NGINX:
            lines.append(f"add_header {word(header.name)} {template(header.value)} always;")
        elif layout.nginx.has("headers-more"):
            lines.append(f"more_set_headers {template(f'{header.name}: {header.value}')};")
    if main.allow_backend_server_header:
        lines += [f"{module}_pass_header Server;" for module in ("proxy", "grpc", "fastcgi")]
    return tuple(map(NginxText, lines))


_TURNED_AWAY = {"$hr_blocked_agent": "$http_user_agent", "$hr_blocked_referer": "$http_referer"}


def turned_away(main: MainSettings) -> Lines:
    """Variables that are true for a request that no host answers."""
    return tuple(
        NginxText(name)
        for name, items in zip(_TURNED_AWAY, (main.block_user_agents, main.block_referers), strict=True)
        if items
    )


def _maps(main: MainSettings) -> Lines:
    found = []
    for (name, source), items in zip(_TURNED_AWAY.items(), (main.block_user_agents, main.block_referers), strict=True):
        if items:
            found.append(_map(source, name, "0", items, "1"))
    if main.skip_access_log_urls:
        found.append(_map("$request_uri", "$hr_loggable", "1", main.skip_access_log_urls, "0"))
    return tuple(found)


def _map(source: str, name: str, default: str, items: tuple[str, ...], value: str) -> NginxText:
    entries = " ".join(f"{_item(item)} {value};" for item in items)
    return NginxText(f"map {source} {name} {{ default {default}; {entries} }}")


def _item(item: str) -> NginxText:
    """A regular expression, or a whole value, whose leading backslash would be dropped."""
    return quoted(item) if item.startswith("~") else key(f"\\{item}" if item.startswith("\\") else item)


def _sundry(main: MainSettings, layout: Layout) -> Lines:
    lines = [f"default_type {quoted(main.default_type)};"]
    if main.grpc_buffer_size_kb:
        lines.append(f"grpc_buffer_size {main.grpc_buffer_size_kb}k;")
    if main.enable_aio_write and layout.nginx.has("threads"):
        lines += ["aio threads;", "aio_write on;"]
    return tuple(map(NginxText, lines))


def _gzip(main: MainSettings) -> Lines:
    types = " ".join(map(quoted, main.gzip_types)) or "text/html"
    lines = [f"gzip_types {types};"]
    lines += [f"gzip_disable {quoted(main.gzip_disable)};"] if main.gzip_disable else []
    return tuple(map(NginxText, lines))


# -- workers


def open_files(main: MainSettings, layout: Layout) -> int:
    """Files that a worker may open; never more than the system lets us."""
    wanted = main.max_worker_open_files or 2 * (main.max_worker_connections or 16_384) + 1024
    return min(layout.open_files, wanted)


def connections(main: MainSettings, layout: Layout) -> int:
    """0 asks for three quarters of the files."""
    if main.max_worker_connections:
        return min(main.max_worker_connections, max(layout.open_files // 2, 256))
    return max((main.max_worker_open_files or max(layout.open_files - 1024, 1024)) * 3 // 4, 256)


# -- logs

_ACCESS_LOG_BUFFER = "buffer=4k flush=1s"
"""A write for some lines instead of one each. Not larger: what is written to a pipe is kept apart from what another
worker writes up to PIPE_BUF, which is 4,096 bytes on Linux (pipe(7))."""


def access_logs(main: MainSettings, layout: Layout) -> Lines:
    """The access log, without that of metrics. Empty where there is none."""
    if main.disable_access_log or main.disable_http_access_log:
        return ()
    syslog = main.enable_syslog and main.syslog_host
    path = main.http_access_log_path or main.access_log_path
    target = _syslog(main) if syslog else _log_target(path or layout.access_log)
    given = main.access_log_params or _ACCESS_LOG_BUFFER
    parameters = "" if target.startswith('"syslog:') else "".join(f" {word(p)}" for p in given.split())
    condition = " if=$hr_loggable" if main.skip_access_log_urls else ""
    return (NginxText(f"access_log {target} hr_access{parameters}{condition};"),)


def _log_target(path: str) -> NginxText:
    return quoted(path)


def _syslog(main: MainSettings) -> NginxText:
    return quoted(f"syslog:server={main.syslog_host}:{main.syslog_port}")


def status_networks(main: MainSettings, layout: Layout) -> tuple[NginxText, ...]:
    """Who may read /nginx_status; nobody where nginx has no such page."""
    if not layout.nginx.has("stub-status"):
        return ()
    return tuple(map(word, (*main.nginx_status_ipv4_whitelist, *main.nginx_status_ipv6_whitelist)))
