"""TLS with the pods, in the directives of ngx_http_proxy_module (`controller.render.protocols` has their twins)."""

from __future__ import annotations

from controller.model.features.backend_tls import BackendTls, FastCgi
from controller.model.features.proxying import HostHeader
from controller.model.policy import Protocol
from controller.render.part import Context, Part
from controller.render.quoting import NginxText, quoted, template, word


def render(tls: BackendTls, context: Context) -> Part:
    lines = [f"proxy_ssl_server_name {'on' if tls.server_name else 'off'};"]
    lines.append(f"proxy_ssl_name {quoted(tls.name) if tls.name else _host(context)};")
    if tls.needs_name and not tls.name:
        # A session that was begun for one name would be taken up for another.
        lines.append("proxy_ssl_session_reuse off;")
    if tls.certificate:
        pair = context.file(tls.certificate)
        lines += [f"proxy_ssl_certificate {pair};", f"proxy_ssl_certificate_key {pair};"]
    if tls.ca:
        lines.append(f"proxy_ssl_trusted_certificate {context.file(tls.ca)};")
    if tls.verify:
        lines += ["proxy_ssl_verify on;", f"proxy_ssl_verify_depth {word(tls.depth)};"]
    if tls.ciphers:
        lines.append(f"proxy_ssl_ciphers {quoted(tls.ciphers)};")
    if tls.protocols:
        lines.append(f"proxy_ssl_protocols {' '.join(map(word, tls.protocols))};")
    return Part(handover=tuple(NginxText(line) for line in lines))


def fastcgi(feature: FastCgi, context: Context) -> Part:
    """The parameters are written with the headers, for nginx hands them down together or not at all."""
    if context.protocol is not Protocol.FCGI or not feature.index:
        return Part()
    return Part(handover=(NginxText(f"fastcgi_index {quoted(feature.index)};"),))


def _host(context: Context) -> NginxText:
    """The Host that the pod gets; nginx takes the port off."""
    features = context.location.policy.features if context.location else ()
    replaced = next((feature.text for feature in features if isinstance(feature, HostHeader)), "")
    return template(replaced or "$best_http_host")
