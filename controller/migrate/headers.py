"""Directives that set or remove headers, of answers and of requests to pods."""

from __future__ import annotations

import re

from controller.migrate.answers import (
    FOR_ALL,
    Answer,
    Outcome,
    Place,
    Replacement,
    annotation,
    needless,
    nothing,
    replaced,
    setting,
    thing,
)
from controller.migrate.lexer import Directive

_CORS = {
    "access-control-allow-origin": "cors-allow-origin",
    "access-control-allow-methods": "cors-allow-methods",
    "access-control-allow-headers": "cors-allow-headers",
    "access-control-expose-headers": "cors-expose-headers",
    "access-control-allow-credentials": "cors-allow-credentials",
    "access-control-max-age": "cors-max-age",
}
_SENT_ANYWAY = {
    "upgrade": "$http_upgrade",
    "x-real-ip": "$remote_addr",
    "x-forwarded-for": "$proxy_add_x_forwarded_for",
    "x-forwarded-proto": "$scheme",
    "x-forwarded-host": "$host",
    "x-forwarded-port": "$server_port",
    "x-forwarded-scheme": "$scheme",
    "x-scheme": "$scheme",
    "x-request-id": "$request_id",
}
"""Headers that pods get from the controller, and the value that snippets mostly give them."""

_HOSTS = ("$host", "$http_host", "$best_http_host")


def of_answer(directive: Directive, place: Place) -> Answer:
    """`add_header NAME VALUE [always]`."""
    if len(directive.args) < 2:
        return nothing("It has no value.")
    return _answer_header(directive.args[0], directive.args[1], place)


def more_set(directive: Directive, place: Place) -> Answer:
    """`more_set_headers [-s STATUS] [-t TYPE] 'NAME: VALUE' ...`."""
    pairs, limited = _pairs(directive.args)
    answers = [_answer_header(name, value, place) for name, value in pairs]
    if not answers:
        return nothing("It names no header.")
    joined = _joined(answers)
    return joined.with_note("Here it is for every status and type.") if limited else joined


def more_clear(directive: Directive, place: Place) -> Answer:
    """`more_clear_headers NAME ...` and `proxy_hide_header NAME`."""
    names = [name for name in _pairs(directive.args)[0] if name[0]]
    wanted = [name for name, _ in names if name.lower() != "server"]
    if not wanted:
        return needless("The version is hidden anyway (server-tokens); the name of the server stays.")
    return replaced(setting("hide-headers", ",".join(wanted)), note="" if place.for_all else FOR_ALL)


def of_request(directive: Directive, place: Place) -> Answer:
    """`proxy_set_header NAME VALUE`, and the same for gRPC."""
    if not directive.args:
        return nothing("It names no header.")
    name, value = directive.args[0], " ".join(directive.args[1:])
    lower = name.lower()
    if _SENT_ANYWAY.get(lower) == value or (lower == "host" and value in _HOSTS):
        return needless(f"Pods get {name} anyway.")
    if lower == "connection" and value in ("close", "keep-alive") and not place.for_all:
        return replaced(annotation("connection-proxy-header", value))
    if lower == "connection":
        return needless("WebSockets and kept connections work without it.")
    if lower == "host" and not place.for_all:
        return replaced(annotation("upstream-vhost", value))
    if lower == "x-forwarded-prefix" and not place.for_all:
        return replaced(annotation("x-forwarded-prefix", value), note="Only where rewrite-target is set, too.")
    target = place.headers_name.replace("-headers", "-request-headers")
    return replaced(
        setting("proxy-set-headers", target),
        thing(f"ConfigMap {target}", f"{name}: {value}"),
        note="" if place.for_all else FOR_ALL,
    )


def expires(directive: Directive, place: Place) -> Answer:
    """`expires TIME`: the header Cache-Control; `Expires` itself is for clients of HTTP/1.0."""
    found = re.fullmatch(r"(-?)([0-9]+)([smhdwMy]?)", directive.args[-1] if directive.args else "")
    if directive.args[-1:] == ("max",):
        value = "max-age=315360000"
    elif directive.args[-1:] == ("epoch",) or (found and found[1]):
        value = "no-cache"
    elif found:
        value = f"max-age={int(found[2]) * _UNITS[found[3]]}"
    else:
        return nothing("expires with a variable or a time of day has no counterpart; let the pod send Cache-Control.")
    return _answer_header("Cache-Control", value, place)


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}


def _answer_header(name: str, value: str, place: Place) -> Answer:
    lower = name.lower()
    if lower in _CORS and not place.for_all:
        return _cors(_CORS[lower], value)
    if lower == "strict-transport-security":
        return _hsts(value, place)
    if lower == "server" and not value:
        return needless("The version is hidden anyway (server-tokens); the name of the server stays.")
    if not value:
        return replaced(setting("hide-headers", name), note="" if place.for_all else FOR_ALL)
    if "$" in value:
        return nothing(f"The value of {name} has a variable; headers here are fixed text. Let the pod send it.")
    if place.for_all:
        return replaced(
            setting("add-headers", place.headers_name), thing(f"ConfigMap {place.headers_name}", f"{name}: {value}")
        )
    return replaced(
        annotation("custom-headers", place.headers_name),
        thing(f"ConfigMap {place.headers_name}", f"{name}: {value}"),
        setting("global-allowed-response-headers", name),
    )


def _cors(name: str, value: str) -> Answer:
    switch = annotation("enable-cors", "true")
    if "$" not in value:
        shown = value if name != "cors-allow-credentials" else str(value.lower() == "true").lower()
        return replaced(switch, annotation(name, shown))
    if name == "cors-allow-origin":
        return replaced(switch, annotation(name, "https://*.example.com"), note="List the origins that you allow.")
    return replaced(switch, note=f"Write a fixed value for {name}; variables are not taken.")


def _hsts(value: str, place: Place) -> Answer:
    words = [word.strip().lower() for word in value.split(";")]
    age = next((word.partition("=")[2] for word in words if word.startswith("max-age=")), "")
    if not age.isdigit():
        return nothing("Its max-age is no number.")
    return replaced(
        setting("hsts", "true"),
        setting("hsts-max-age", age),
        setting("hsts-include-subdomains", str("includesubdomains" in words).lower()),
        setting("hsts-preload", str("preload" in words).lower()),
        note="It is sent with every answer over TLS by default." + ("" if place.for_all else f" {FOR_ALL}"),
    )


def _pairs(args: tuple[str, ...]) -> tuple[list[tuple[str, str]], bool]:
    """Headers of the headers-more module, and whether they are for some answers only."""
    found, limited, skip = [], False, False
    for word in args:
        if skip:
            skip = False
        elif word in ("-s", "-t"):
            limited = skip = True
        elif not word.startswith("-"):
            name, _, value = word.partition(":")
            found.append((name.strip(), value.strip()))
    return found, limited


def _joined(answers: list[Answer]) -> Answer:
    replacements: tuple[Replacement, ...] = tuple(r for answer in answers for r in answer.replacements)
    notes = " ".join(dict.fromkeys(answer.note for answer in answers if answer.note))
    outcomes = [answer.outcome for answer in answers]
    worst = Outcome.NONE if Outcome.NONE in outcomes else outcomes[0]
    return Answer(worst if len(set(outcomes)) > 1 else outcomes[0], tuple(dict.fromkeys(replacements)), notes)
