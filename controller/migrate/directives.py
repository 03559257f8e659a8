"""The directives that snippets hold, and what each of them is here.

Most are a row of a table (rows.py): an annotation, a key of the ConfigMap, or both. The place of the snippet decides
which of them is told: what one Ingress asked for stays with it where that can be. Directives without any counterpart
are known, too, with the reason (without.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from controller.migrate import conditions, headers
from controller.migrate.answers import (
    FOR_ALL,
    ON_EACH,
    Answer,
    Place,
    annotation,
    needless,
    nothing,
    replaced,
    setting,
    thing,
)
from controller.migrate.lexer import Directive
from controller.migrate.rows import ROWS, Row
from controller.migrate.without import NEEDLESS, NONE


def answer_of(directive: Directive, place: Place) -> Answer:
    """What takes the place of this directive where it stood. Blocks are the caller's."""
    name = directive.name
    if name in _SPECIAL:
        return _SPECIAL[name](directive, place)
    if name in ROWS:
        return _row(ROWS[name], directive, place)
    for pattern, told in NONE:
        if re.fullmatch(pattern, name):
            return nothing(told)
    for pattern, told in NEEDLESS:
        if re.fullmatch(pattern, name):
            return needless(told)
    return nothing("This directive has no counterpart among annotations and settings.")


def known(name: str) -> bool:
    """Whether the table has a row for a directive of this name."""
    patterns = (pattern for pattern, _ in (*NONE, *NEEDLESS))
    return name in _SPECIAL or name in ROWS or any(re.fullmatch(pattern, name) for pattern in patterns)


def _row(row: Row, directive: Directive, place: Place) -> Answer:
    value = row.convert(directive.args)
    name = row.setting if (place.for_all and row.setting) or not row.annotation else row.annotation
    if value is None:
        return nothing(f"{name} does not take {' '.join(directive.args) or 'no value'}.")
    if (name == row.setting and name != row.annotation) or (place.for_all and row.setting):
        made, scope = setting(name, value), "" if place.for_all else FOR_ALL
    else:
        made, scope = annotation(name, value), ON_EACH if place.for_all else ""
    return replaced(made, note=f"{row.note} {scope}".strip())


# -- directives that are more than one row


def _buffers(directive: Directive, place: Place) -> Answer:
    if len(directive.args) != 2:
        return nothing("It needs a number and a size.")
    number, size = directive.args
    make = setting if place.for_all else annotation
    return replaced(make("proxy-buffers-number", number), make("proxy-buffer-size", size))


_LISTS_TOLD = "Networks are joined by commas. A refused one stays refused, whatever the order was."


def _access_list(directive: Directive, place: Place) -> Answer:
    """`allow` and `deny`: lists of networks, without an order of their own."""
    who = directive.args[0] if directive.args else ""
    if directive.name == "deny":
        if who == "all":
            return needless("The list of those who are allowed refuses all others.")
        name = "block-cidrs" if place.for_all else "denylist-source-range"
    elif who == "all":
        return needless("Everybody may come who is on no list.")
    else:
        name = "whitelist-source-range" if place.for_all else "allowlist-source-range"
    return replaced((setting if place.for_all else annotation)(name, who), note=_LISTS_TOLD)


def _limit_req(directive: Directive, place: Place) -> Answer:
    given = dict(word.partition("=")[::2] for word in directive.args)
    zone = given.get("zone", "")
    note = f"The rate is that of limit_req_zone {zone}; limit-rpm is the same per minute." if zone else ""
    made = [annotation("limit-rps", "10")]
    if given.get("burst", "").isdigit():
        made.append(annotation("limit-burst-multiplier", "5"))
        note += f" The burst is the rate times limit-burst-multiplier (it was {given['burst']})."
    return replaced(*made, note=f"{note} {ON_EACH if place.for_all else ''}".strip())


def _limit_req_zone(directive: Directive, place: Place) -> Answer:
    found = re.search(r"rate=([0-9]+)r/([sm])", " ".join(directive.args))
    if not found:
        return nothing("It names no rate.")
    key = directive.args[0] if directive.args else ""
    odd = "" if key in ("$binary_remote_addr", "$remote_addr") else f" Clients are told apart by address, not by {key}."
    name = "limit-rps" if found[2] == "s" else "limit-rpm"
    return replaced(annotation(name, found[1]), note=f"{ON_EACH if place.for_all else ''}{odd}".strip())


def _limit_conn(directive: Directive, place: Place) -> Answer:
    number = directive.args[-1] if directive.args else ""
    if not number.isdigit():
        return nothing("It names no number.")
    return replaced(annotation("limit-connections", number), note=ON_EACH if place.for_all else "")


def _auth_basic(directive: Directive, place: Place) -> Answer:
    realm = directive.args[0] if directive.args else ""
    if realm == "off":
        return needless("An Ingress of its own without auth-type for that path has no authentication.")
    scope = ON_EACH if place.for_all else ""
    return replaced(annotation("auth-type", "basic"), annotation("auth-realm", realm), note=scope)


def _auth_file(directive: Directive, place: Place) -> Answer:
    secret = f"{place.ingress or 'site'}-users"
    return replaced(
        annotation("auth-type", "basic"),
        annotation("auth-secret", secret),
        thing(f"Secret {place.namespace}/{secret}", "auth: the lines of the file"),
        note=ON_EACH if place.for_all else "",
    )


def _auth_request(directive: Directive, place: Place) -> Answer:
    where = directive.args[0] if directive.args else ""
    if where == "off":
        return replaced(annotation("enable-global-auth", "false"))
    told = f"Write the address that location {where} asks, for example a Service of the cluster."
    if place.for_all:
        return replaced(setting("global-auth-url", "http://auth.default.svc/verify"), note=told)
    return replaced(annotation("auth-url", f"http://auth.{place.namespace}.svc/verify"), note=told)


def _auth_set(directive: Directive, place: Place) -> Answer:
    found = re.search(r"\$upstream_http_(\w+)", " ".join(directive.args))
    if not found:
        return nothing("Only headers of the answer of auth-url are passed on (auth-response-headers).")
    name = "-".join(part.capitalize() for part in found[1].split("_"))
    if place.for_all:
        return replaced(setting("global-auth-response-headers", name))
    return replaced(annotation("auth-response-headers", name))


def _access_log(directive: Directive, place: Place) -> Answer:
    where = directive.args[0] if directive.args else ""
    if where == "off":
        return replaced(
            setting("disable-access-log", "true") if place.for_all else annotation("enable-access-log", "false")
        )
    return replaced(setting("access-log-path", where), note="" if place.for_all else FOR_ALL)


def _error_page(directive: Directive, place: Place) -> Answer:
    codes = [word for word in directive.args if word.isdigit()]
    target = directive.args[-1] if directive.args else ""
    if not codes:
        return nothing("It names no status.")
    told = f"The Service of default-backend answers, and gets the status as X-Code; it replaces {target}."
    if place.for_all:
        return replaced(setting("custom-http-errors", ",".join(codes)), note=told)
    return replaced(
        annotation("custom-http-errors", ",".join(codes)), annotation("default-backend", "error-pages"), note=told
    )


def _log_format(directive: Directive, place: Place) -> Answer:
    made = [setting("log-format-upstream", "".join(w for w in directive.args[1:] if not w.startswith("escape=")))]
    if "escape=json" in directive.args:
        made.append(setting("log-format-escape-json", "true"))
    return replaced(*made, note="There is one format, whatever its name was.")


def _proxy_redirect(directive: Directive, place: Place) -> Answer:
    source, *target = (*directive.args, "off")[:2]
    make = setting if place.for_all else annotation
    made = [make("proxy-redirect-from", source)]
    if source not in ("off", "default") and target:
        made.append(make("proxy-redirect-to", target[0]))
    return replaced(*made)


def _mirror(directive: Directive, place: Place) -> Answer:
    if directive.args[:1] == ("off",):
        return needless("Without mirror-target nothing is mirrored.")
    return replaced(
        annotation("mirror-target", "https://mirror.example.com$request_uri"),
        note=f"Write the address that location {' '.join(directive.args)} asks.",
    )


def _proxy_pass(directive: Directive, place: Place) -> Answer:
    if place.snippet == "stream-snippet":
        return replaced(
            thing("ConfigMap of --tcp-services-configmap", '"PORT": "namespace/service:port"'),
            note="Values tcp and udp of the chart make it.",
        )
    told = "The backend of a path is the Service that the Ingress names; an ExternalName Service leads outside."
    return nothing(told)


def _server_name(directive: Directive, place: Place) -> Answer:
    if place.for_all:
        return nothing("A host is served where an Ingress names it.")
    return replaced(annotation("server-alias", ",".join(directive.args)))


def _real_ip(directive: Directive, place: Place) -> Answer:
    header = directive.args[0] if directive.args else ""
    if header == "proxy_protocol":
        return replaced(setting("use-proxy-protocol", "true"))
    return replaced(
        setting("enable-real-ip", "true"),
        setting("forwarded-for-header", header),
        note="use-forwarded-headers trusts the other X-Forwarded headers, too."
        + ("" if place.for_all else f" {FOR_ALL}"),
    )


_SPECIAL: dict[str, Callable[[Directive, Place], Answer]] = {
    "add_header": headers.of_answer,
    "more_set_headers": headers.more_set,
    "more_clear_headers": headers.more_clear,
    "proxy_hide_header": headers.more_clear,
    "grpc_hide_header": headers.more_clear,
    "proxy_set_header": headers.of_request,
    "grpc_set_header": headers.of_request,
    "more_set_input_headers": headers.of_request,
    "expires": headers.expires,
    "if": conditions.of_if,
    "return": conditions.of_return,
    "rewrite": conditions.of_rewrite,
    "proxy_buffers": _buffers,
    "allow": _access_list,
    "deny": _access_list,
    "limit_req": _limit_req,
    "limit_req_zone": _limit_req_zone,
    "limit_conn": _limit_conn,
    "auth_basic": _auth_basic,
    "auth_basic_user_file": _auth_file,
    "auth_request": _auth_request,
    "auth_request_set": _auth_set,
    "access_log": _access_log,
    "error_page": _error_page,
    "log_format": _log_format,
    "proxy_redirect": _proxy_redirect,
    "mirror": _mirror,
    "proxy_pass": _proxy_pass,
    "server_name": _server_name,
    "real_ip_header": _real_ip,
}
