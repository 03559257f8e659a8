"""Certificates of clients and ciphers, as lines of a server: https://nginx.org/en/docs/http/ngx_http_ssl_module.html.

Which server's TLS settings count follows the name in the handshake, and which server answers follows Host. So a
request whose Host is not the name of its handshake is answered 421 (RFC 9110, 15.5.20) where either of the two asks
for certificates; `$hr_other_name` and `$hr_misdirected` are in certificates.conf.
"""

from __future__ import annotations

from controller.model.configuration import CATCH_ALL
from controller.model.features.client_certificates import CipherList, CipherPreference, ClientCertificates
from controller.model.policy import HttpsRedirect
from controller.render.part import Context, Lines, Part, digest
from controller.render.quoting import NginxText, quoted, word

_HEADERS = {
    "ssl-client-verify": NginxText("$ssl_client_verify"),
    "ssl-client-subject-dn": NginxText("$ssl_client_s_dn"),
    "ssl-client-issuer-dn": NginxText("$ssl_client_i_dn"),
}
_PLACE = NginxText("@hr_uncertified")
_CERTIFICATE = {"ssl-client-cert": NginxText("$ssl_client_escaped_cert")}


def render(wanted: ClientCertificates, context: Context) -> Part:
    if wanted.broken:
        return Part(server=(NginxText("if ($https) { return 403; }"),))
    subject = _subject(wanted, context)
    return Part(
        http=subject.http,
        server=(*_handshake(wanted, context), *_right_name(wanted, context), *subject.server),
        locations=() if wanted.error_page else (_uncertified(context),),
        request_headers=_HEADERS | (_CERTIFICATE if wanted.pass_certificate else {}),
    )


def cipher_list(feature: CipherList, context: Context) -> Part:
    return Part(server=(NginxText(f"ssl_ciphers {quoted(feature.ciphers)};"),))


def cipher_preference(feature: CipherPreference, context: Context) -> Part:
    return Part(server=(NginxText(f"ssl_prefer_server_ciphers {'on' if feature.server else 'off'};"),))


def _handshake(wanted: ClientCertificates, context: Context) -> Lines:
    lines = [
        f"ssl_client_certificate {context.file(wanted.ca)};",
        f"ssl_verify_client {wanted.verify};",
        f"ssl_verify_depth {word(wanted.depth)};",
    ]
    if wanted.crl:
        lines.append(f"ssl_crl {context.file(wanted.crl)};")
    lines.append(f"error_page 495 496 = {quoted(wanted.error_page) if wanted.error_page else _PLACE};")
    # A level that has an error page of its own inherits none.
    lines += ["error_page 502 504 = @hr_hold;"] if context.main.hold else []
    return tuple(NginxText(line) for line in lines)


def _uncertified(context: Context) -> NginxText:
    """Where those go who do not get in: nginx looks at the certificate before it looks at the name."""
    other_name = "" if context.host == CATCH_ALL else "        if ($hr_other_name) { return 421; }\n"
    return NginxText(
        f"    location {_PLACE} {{\n        error_page 497 =400 {_PLACE};\n{other_name}"
        '        if ($ssl_client_verify ~ "^FAILED") { return 495; }\n        return 496;\n    }'
    )


def _right_name(wanted: ClientCertificates, context: Context) -> Lines:
    """The catch-all's settings are those of a handshake without a name, too; for another name nginx answers 421."""
    if not wanted.guards or context.host == CATCH_ALL:
        return ()
    return (NginxText("if ($hr_other_name) { return 421; }"),)


def _subject(wanted: ClientCertificates, context: Context) -> Part:
    """Over plain HTTP there is no certificate: nothing is served, unless the host sends everything to HTTPS."""
    if not wanted.match_cn:
        return Part()
    name = digest("match-cn", wanted.match_cn)
    matches = f"map $ssl_client_s_dn $hr_cn_{name} {{ default 0; {quoted('~' + wanted.match_cn)} 1; }}"
    plain = "" if _only_redirects(context) else "1"
    refused = f'map "$https:$hr_cn_{name}" $hr_not_cn_{name}_{plain} {{ default ""; "on:0" 1; ":0" "{plain}"; }}'
    line = f'if ($hr_not_cn_{name}_{plain}) {{ return 403 "client certificate unauthorized"; }}'
    return Part(http=(NginxText(matches), NginxText(refused)), server=(NginxText(line),))


def _only_redirects(context: Context) -> bool:
    """Whether plain HTTP is answered by redirects alone, but for paths that the operator exempts (ACME challenges)."""
    exempt = context.main.no_tls_redirect_locations
    return all(
        location.policy.https_redirect is HttpsRedirect.ALWAYS
        for location in (*context.server.locations, context.server.fallback)
        if not location.match.path.startswith(exempt)
    )
