"""Proxying settings as directives: https://nginx.org/en/docs/http/ngx_http_proxy_module.html and its gRPC twin."""

from __future__ import annotations

from controller.model.configuration import MainSettings
from controller.model.features.proxying import ConnectionHeader, ForwardedPrefix, HostHeader, Proxying
from controller.model.policy import Protocol
from controller.render.part import Context, Lines, Part
from controller.render.quoting import NginxText, quoted, template, word

_MODULES = {Protocol.GRPC: "grpc", Protocol.GRPCS: "grpc", Protocol.FCGI: "fastcgi"}


def render(proxying: Proxying, context: Context) -> Part:
    module = _MODULES.get(context.protocol, "proxy")
    lines = [*_times(proxying, module), *_retries(proxying, context, module)]
    if module != "grpc":
        lines += _buffers(proxying, context, module)
    if module == "proxy":
        lines += _rewrites(proxying)
    return Part(gate=_gate(proxying, context), handover=tuple(lines))


def host_header(feature: HostHeader, context: Context) -> Part:
    return Part(request_headers={"Host": template(feature.text)})


def connection_header(feature: ConnectionHeader, context: Context) -> Part:
    return Part(request_headers={"Connection": quoted(feature.text)})


def forwarded_prefix(feature: ForwardedPrefix, context: Context) -> Part:
    """Kept in a variable at once: the groups of the path are forgotten as soon as any other expression matches."""
    if context.location is None or context.location.policy.rewrite is None:
        return Part()
    line = NginxText(f"set $hr_forwarded_prefix {template(feature.text)};")
    headers = {"X-Forwarded-Prefix": NginxText("$hr_forwarded_prefix")}
    return Part(gate=(line,), request_headers=headers, answers_early=True)


def _gate(proxying: Proxying, context: Context) -> Lines:
    lines = []
    if proxying.body_size is not None:
        lines.append(NginxText(f"client_max_body_size {word(proxying.body_size)};"))
    if proxying.body_buffer_size is not None:
        lines.append(NginxText(f"client_body_buffer_size {word(proxying.body_buffer_size)};"))
    if proxying.request_buffering is not None:
        lines.append(NginxText(f"set $hr_request_buffering {_on(proxying.request_buffering)};"))
    if proxying.next_upstream is not None:
        lines.append(NginxText(f"set $hr_resend {_resend(_reasons(proxying.next_upstream, context))};"))
    return tuple(lines)


def _times(proxying: Proxying, module: str) -> Lines:
    times = {
        "connect_timeout": proxying.connect_timeout,
        "read_timeout": proxying.read_timeout,
        "send_timeout": proxying.send_timeout,
    }
    return tuple(NginxText(f"{module}_{name} {word(value)}s;") for name, value in times.items() if value is not None)


def _retries(proxying: Proxying, context: Context, module: str) -> list[NginxText]:
    lines = []
    if proxying.next_upstream is not None:
        reasons = _reasons(proxying.next_upstream, context)
        if module == "fastcgi":
            reasons = tuple(reason for reason in reasons if reason != "http_502" and reason != "http_504")
        lines.append(NginxText(f"{module}_next_upstream {' '.join(map(word, reasons or ('off',)))};"))
    if proxying.next_upstream_timeout is not None:
        lines.append(NginxText(f"{module}_next_upstream_timeout {word(proxying.next_upstream_timeout)}s;"))
    if proxying.next_upstream_tries is not None:
        lines.append(NginxText(f"{module}_next_upstream_tries {word(proxying.next_upstream_tries)};"))
    return lines


def _reasons(reasons: tuple[str, ...], context: Context) -> tuple[str, ...]:
    more = ("non_idempotent",) if context.main.retry_non_idempotent and reasons != ("off",) else ()
    return tuple(dict.fromkeys((*reasons, *more)))


def _resend(reasons: tuple[str, ...]) -> NginxText:
    """Which requests that a pod has received may be sent again: the words that the map of `$hr_once` knows."""
    if "error" not in reasons or "off" in reasons:
        return NginxText("never")
    return NginxText("always" if "non_idempotent" in reasons else "idempotent")


def _buffers(proxying: Proxying, context: Context, module: str) -> list[NginxText]:
    lines = []
    if proxying.buffering is not None:
        lines.append(NginxText(f"{module}_buffering {_on(proxying.buffering)};"))
    if proxying.request_buffering is not None:
        lines.append(NginxText(f"{module}_request_buffering {_on(proxying.request_buffering)};"))
    if proxying.buffer_size is not None or proxying.buffers_number is not None:
        size = word(proxying.buffer_size or context.main.proxy_buffer_size)
        number = proxying.buffers_number or context.main.proxy_buffers_number
        lines.append(NginxText(f"{module}_buffer_size {size};"))
        lines.append(NginxText(f"{module}_buffers {word(number)} {size};"))
        if proxying.busy_buffers_size is None:
            # Two buffers by default, which is more than nginx allows where there are but two of them.
            busy = 2 if number > 2 else 1
            lines.append(NginxText(f"{module}_busy_buffers_size {_times_size(busy, size)};"))
    if proxying.busy_buffers_size is not None:
        lines.append(NginxText(f"{module}_busy_buffers_size {word(proxying.busy_buffers_size)};"))
    if proxying.max_temp_file_size is not None:
        lines.append(NginxText(f"{module}_max_temp_file_size {word(proxying.max_temp_file_size)};"))
    return lines


def _times_size(times: int, size: str) -> NginxText:
    unit = size[-1] if size[-1] in "km" else ""
    return word(f"{times * int(size.removesuffix(unit))}{unit}")


def _rewrites(proxying: Proxying) -> list[NginxText]:
    version = [NginxText(f"proxy_http_version {word(proxying.http_version)};")] if proxying.http_version else []
    return [
        *version,
        *_replacement("proxy_cookie_domain", proxying.cookie_domain),
        *_replacement("proxy_cookie_path", proxying.cookie_path),
        *_replacement("proxy_redirect", proxying.redirect),
    ]


def global_rewrites(main: MainSettings) -> Lines:
    """What the ConfigMap replaces in the answers of all pods."""
    both = "off" not in (main.proxy_redirect_from, main.proxy_redirect_to)
    redirect = (main.proxy_redirect_from, main.proxy_redirect_to) if both else ()
    return (
        *_replacement("proxy_cookie_domain", main.proxy_cookie_domain),
        *_replacement("proxy_cookie_path", main.proxy_cookie_path),
        *_replacement("proxy_redirect", redirect if "default" not in redirect else ()),
    )


def _replacement(directive: str, pair: tuple[str, ...] | None) -> Lines:
    if pair is None:
        return ()
    return (NginxText(f"{directive} {' '.join(quoted(part) for part in pair) if pair else 'off'};"),)


def _on(flag: bool) -> NginxText:
    return NginxText("on" if flag else "off")
