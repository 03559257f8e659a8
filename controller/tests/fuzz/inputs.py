"""Values, names and objects for the fuzz tests, cheap to draw: one number stands for one value.

Each annotation and key has a pool of values that its grammar takes, drawn from the grammar's own pattern. What a test
writes is one of those, or one with a fragment of an attack in it, or an attack alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from controller.translate.annotations.registry import HONOURED, OUR_ANNOTATIONS, VERDICTS
from controller.translate.annotations.values import Grammar
from controller.translate.configmap import CLOSING, PARSERS, UNSUPPORTED

NAMES = sorted(VERDICTS) + [f"headrace.dev/{name}" for name in sorted(OUR_ANNOTATIONS)]
HONOURED_NAMES = sorted({annotation.name for annotation in HONOURED if not annotation.ours})
KEYS = sorted({*PARSERS, *CLOSING, *UNSUPPORTED})

FRAGMENTS = (
    '"; return 418; "', "'; return 418; '", "; return 418;", "} pwned on; {", "{pwned on;}", "\n  pwned on;\n",
    "\r\npwned on;", "\rpwned", "\x00", "\\", '\\"', "\\\\", '"', "'", "`", ";", "{", "}", "#", " # pwned", "$",
    "${", "${pwned", "$pwned", "$http_authorization", "$http_cookie", "$1", "$0", "${1}", "$hr_dollar", "$env_pwned",
    "include /etc/passwd;", "include", "default", "hostnames", "volatile", "off", "on", "*", "~.*", "~*(",
    "(?<hr_route>x)",
    "(a+)+$", "[", "(", ")", "]", "\u2028", "\u2029", "\x85", "\xa0", "\u200b", "\ufeff", "\uff1b", "\U0001f600",
    "e\u0301",
    "%0a", "%00", "%", "{{ main }}", "{% raw %}", "/../../etc/passwd", "..", "file:///etc/passwd",
    "http://127.0.0.1:1/",
    "http://169.254.169.254/", "unix:/s/run/x", "@hr_hold", "/_hr_pwned", "-1", "0", "99999999999999999999", "1e9",
    "0x10", "\uff11\uff10", "+5", " ", "\t", ",", ",,", "  ,  ", "<script>", "=", ":", "|", "&", "^", "~", "!",
)  # fmt: skip

PLAUSIBLE = (
    "true", "false", "on", "off", "1", "0", "10", "60", "60s", "5m", "8k", "10m", "http", "HTTP", "HTTPS", "GRPC",
    "GRPCS",
    "FCGI", "AUTO_HTTP", "cookie", "basic", "digest", "any", "all", "optional", "users", "team/users", "map-users",
    "ca",
    "team/ca", "other/users", "headers", "team/headers", "params", "web", "api", "missing", "/", "/$1", "/$2", "/app",
    "https://a.example.org", "https://*.example.org", "*", "null", "http://web.team.svc/check",
    "http://web.team.svc:80/x",
    "https://login.example.org/start?rd=$escaped_request_uri", "a.example.com", "b.example.com,*.c.example.com",
    "10.0.0.0/8", "10.0.0.0/8,192.168.0.0/16", "::1/128", "404,503", "$request_uri", "$remote_addr", "$http_x_user",
    "ewma", "round_robin", "X-A,X-B", "GET, POST", "200 5m", "200 202 10m, 401 1s", "Host", "x-canary", "50", "100",
    "persistent", "balanced", "sticky", "legacy", "Lax", "None", "TLSv1.2 TLSv1.3", "HIGH:!aNULL", "CN=web", "CN=(a|b)",
    "error timeout", "http_502 non_idempotent", "301", "308", "/one /two", "one.example two.example", "auth-map",
    "auth-file", "http://web.team.svc/mirror$request_uri", "index.php", "close", "1.1", "1024", "auto", "4 16k",
    "web.team:80", "X-Forwarded-For", "realm of ours", "host=up1", "ALL", "SECLEVEL=0",
)  # fmt: skip

LONG = ("a" * 5_000, "/" + "x/" * 2_000, "a," * 900, '"' * 300, "é" * 1_900, "\\" * 1_500, "$" * 400)


def value_of(name: str, seed: int) -> str:
    """The value that a number stands for."""
    draw = random.Random(seed)
    kind = draw.random()
    valid = draw.choice(_pool(name))
    if kind < 0.5:
        return valid
    if kind < 0.75:
        at = draw.randint(0, len(valid))
        return valid[:at] + draw.choice(FRAGMENTS) + valid[at:]
    if kind < 0.93:
        return "".join(draw.choice((*FRAGMENTS, valid)) for _ in range(draw.randint(1, 4)))
    return draw.choice(LONG) if kind < 0.96 else draw.choice(PLAUSIBLE)


def key_of(seed: int) -> str:
    """A key of a ConfigMap or a header name: mostly right."""
    draw = random.Random(seed)
    name = draw.choice(("X-A", "X-Frame-Options", "Host", "Connection", "SCRIPT_FILENAME", "x_y", "Content-Length"))
    return name if draw.random() < 0.7 else name + draw.choice(FRAGMENTS)


def stream_of(seed: int) -> tuple[str, str]:
    """A port and what is behind it, as the ConfigMaps for TCP and UDP have it: mostly right."""
    draw = random.Random(seed)
    port = str(draw.choice((9000, 9001, 53, 5432, 443, 70_000)))
    place = draw.choice(("team/web:80", "team/web:http", "team/api:80:PROXY", "team/web:80::PROXY", "other/web:80"))
    if draw.random() < 0.3:
        port += draw.choice(FRAGMENTS)
    if draw.random() < 0.4:
        at = draw.randint(0, len(place))
        place = place[:at] + draw.choice(FRAGMENTS) + place[at:]
    return port, place


@cache
def _pool(name: str) -> tuple[str, ...]:
    """Values that mean something for this name, and those that do for its neighbours."""
    grammar = GRAMMARS.get(name)
    own = matching(grammar.pattern) if grammar else ()
    return (*own, *(text for text in PLAUSIBLE if _takes(name, text))) or PLAUSIBLE


def _takes(name: str, text: str) -> bool:
    parse: Callable[[str], Any] | None = GRAMMARS.get(name) or PARSERS.get(name)
    if parse is None:
        return True
    try:
        parse(text)
    except ValueError:
        return False
    return True


GRAMMARS: dict[str, Grammar[Any]] = {
    **{key: parse for key, parse in PARSERS.items() if isinstance(parse, Grammar)},
    **{("headrace.dev/" if a.ours else "") + a.name: a.grammar for a in HONOURED},
}


@cache
def matching(pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Twenty texts that the pattern takes."""
    found: list[str] = []

    @settings(
        max_examples=20, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.from_regex(pattern, fullmatch=True))
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return tuple(dict.fromkeys(found))
