"""`if`, `return` and `rewrite`: redirects, refusals by client, and rewritten paths.

Most conditions in snippets are one of a dozen idioms, and each has a name of its own here. Any other is told as what it
is: nothing takes its place.
"""

from __future__ import annotations

import re

from controller.migrate.answers import FOR_ALL, Answer, Place, annotation, nothing, replaced, setting
from controller.migrate.lexer import Directive

EVERYBODY = "0.0.0.0/0,::/0"
_SAME_URL = re.compile(r"\$(request_uri|uri(\$is_args\$args)?)")
_OWN_HOST = r"\$(host|http_host|server_name|best_http_host)"
_REDIRECTS = ("301", "302", "303", "307", "308")
_PERMANENT = ("301", "308")
_MATCH = ("=", "~", "~*")


def of_if(directive: Directive, place: Place) -> Answer:
    """One of the idioms, or nothing."""
    variable, operator, value = _condition(directive.args)
    inner = directive.block or ()
    ends = next((d for d in inner if d.name in ("return", "rewrite")), None)
    code = ends.args[0] if ends and ends.name == "return" and ends.args else ""
    target = ends.args[-1] if ends and ends.name == "return" and len(ends.args) > 1 else ""
    if variable == "$request_method" and "OPTIONS" in value.upper() and code in ("200", "204"):
        return replaced(annotation("enable-cors", "true"), note="Preflights are answered with 204.")
    if variable == "$http_origin" and any(d.name in ("add_header", "more_set_headers", "set") for d in inner):
        return replaced(
            annotation("enable-cors", "true"),
            annotation("cors-allow-origin", "https://*.example.com"),
            note="List the origins that the condition allows; * stands for one label.",
        )
    if _is_plain_http(variable, operator, value) and (code in _REDIRECTS or (ends and ends.name == "rewrite")):
        return _to_https(variable)
    if variable in ("$host", "$http_host") and operator in _MATCH and code in _REDIRECTS:
        return _other_host(value, target, code)
    if code in ("403", "444", "401", "404", "405") and operator in _MATCH:
        return _refused(variable, operator, value, code, place)
    return nothing("It depends on a condition, and annotations have none: let the pod decide it.")


def of_return(directive: Directive, place: Place) -> Answer:
    """`return CODE [TEXT]` and `return URL`, for the whole Ingress."""
    code = directive.args[0] if directive.args else ""
    target = directive.args[1] if len(directive.args) > 1 else ""
    if not code.isdigit():
        code, target = "302", code
    if place.for_all:
        return nothing("There is no answer for all routes; an Ingress without a host takes what no other takes.")
    if code in _REDIRECTS and target:
        return _redirect(code, target)
    if code in ("403", "444"):
        return replaced(annotation("denylist-source-range", EVERYBODY), note="It answers 403.")
    if code == "404":
        return replaced(annotation("denylist-source-range", EVERYBODY), note="It answers 403 instead of 404.")
    return nothing(f"An answer of {code or 'its own'} comes from a pod only; lead the path to one.")


def of_rewrite(directive: Directive, place: Place) -> Answer:
    """`rewrite EXPRESSION TARGET [flag]`."""
    if len(directive.args) < 2:
        return nothing("It has no target.")
    expression, target, flag = (*directive.args, "")[:3]
    if place.for_all:
        return nothing("Paths are rewritten by rewrite-target on each Ingress, not for all routes.")
    if flag in ("permanent", "redirect") or target.startswith(("http://", "https://", "$scheme")):
        return _redirect("301" if flag == "permanent" else "302", target, expression)
    path = _path_of(expression)
    if "$" in re.sub(r"\$[1-9]", "", target):
        return nothing("rewrite-target knows the groups $1 to $9 and no other variable.")
    return replaced(
        annotation("rewrite-target", target),
        note=f"Write {path} as the path, with pathType ImplementationSpecific; then every path of this host is an "
        "expression that ignores case.",
    )


def _condition(args: tuple[str, ...]) -> tuple[str, str, str]:
    """Variable, operator and value of `if ($variable operator value)`."""
    words = " ".join(args).strip().removeprefix("(").removesuffix(")").split()
    variable, operator, *value = [*words, "", ""]
    return variable, operator, " ".join(value).strip().strip("\"'")


def _is_plain_http(variable: str, operator: str, value: str) -> bool:
    schemes = ("$scheme", "$http_x_forwarded_proto", "$pass_access_scheme", "$redirect_to_https", "$https")
    if variable not in schemes:
        return False
    return (operator in _MATCH and value.lower() in ("http", "")) or (operator in ("!=", "!~") and value == "https")


def _to_https(variable: str) -> Answer:
    if variable == "$http_x_forwarded_proto":
        return replaced(
            annotation("force-ssl-redirect", "true"),
            setting("use-forwarded-headers", "true"),
            setting("proxy-real-ip-cidr", "10.0.0.0/8"),
            note="Write the networks of your load balancer into proxy-real-ip-cidr: only they may send that header.",
        )
    return replaced(annotation("ssl-redirect", "true"), note="It is the default for a host with a tls section.")


def _other_host(value: str, target: str, code: str) -> Answer:
    names = re.sub(r"[\^$\\()]", "", value)
    if names.startswith("www.") and re.search(_SAME_URL, target):
        return replaced(
            annotation("from-to-www-redirect", "true"),
            note=f"On the Ingress of {names.removeprefix('www.')}; {names} needs no rule then.",
        )
    return replaced(
        annotation("permanent-redirect" if code in _PERMANENT else "temporal-redirect", _fixed(target)),
        note=f"On an Ingress of its own for the host {names}. Path and query of the request are not appended.",
    )


def _refused(variable: str, operator: str, value: str, code: str, place: Place) -> Answer:
    pattern = value if operator == "=" else f"{operator}{value}"
    scope = "" if place.for_all else f" {FOR_ALL}"
    status = "" if code == "403" else " It answers 403."
    if variable == "$http_user_agent":
        return replaced(setting("block-user-agents", pattern), note=f"{scope}{status}".strip())
    if variable == "$http_referer":
        return replaced(setting("block-referers", pattern), note=f"{scope}{status}".strip())
    if variable in ("$remote_addr", "$http_x_forwarded_for") and operator == "=":
        name = "block-cidrs" if place.for_all else "denylist-source-range"
        made = setting(name, value) if place.for_all else annotation(name, value)
        return replaced(made, note=status.strip())
    if variable in ("$uri", "$request_uri") and not place.for_all:
        return replaced(
            annotation("denylist-source-range", EVERYBODY),
            note=f"On an Ingress of its own for the same host with the path {_path_of(value)}.{status}",
        )
    return nothing(f"Requests are not refused by {variable or 'this condition'}: let the pod decide it.")


def _redirect(code: str, target: str, expression: str = "") -> Answer:
    if re.fullmatch(rf"https://{_OWN_HOST}{_SAME_URL.pattern}", target):
        return replaced(annotation("force-ssl-redirect", "true"))
    permanent = code in _PERMANENT
    name = "permanent-redirect" if permanent else "temporal-redirect"
    made = [annotation(name, _fixed(target))]
    if code not in ("301", "302"):
        made.append(annotation(f"{name}-code", code))
    notes = []
    if "$" in target:
        notes.append("Path and query of the request are not appended.")
    if expression and _path_of(expression) not in ("/", ""):
        notes.append(f"On an Ingress of its own for the path {_path_of(expression)}.")
    return replaced(*made, note=" ".join(notes))


def _fixed(target: str) -> str:
    """The target without variables: the same scheme, and what comes before the path of the request."""
    text = target.replace("$scheme", "https")
    text = re.sub(_OWN_HOST, "example.com", text)
    return re.sub(r"\$.*", "", text) or "/"


def _path_of(expression: str) -> str:
    """The expression as the path of an Ingress: from the start, ignoring case anyway."""
    return expression.removeprefix("(?i)").removeprefix("^").removesuffix("$") or "/"
