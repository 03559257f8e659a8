"""Grammars of keys of the ConfigMap that no annotation shares. Each raises `ValueError` with what it accepts.

nginx is handed only what it takes: a value that it refused would cost the whole configuration, and not one key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from controller.model.features.balancing import Method
from controller.translate.annotations import values
from controller.translate.annotations.families import balancing

KIB, MIB = 1024, 1024**2
PORTIONS = values.integer(1, 1_000_000)


def buffers(text: str) -> str:
    number, _, each = text.partition(" ")
    try:
        return f"{values.integer(1, 1024)(number)} {values.size(KIB // 2, MIB)(each.strip())}"
    except ValueError as reason:
        raise ValueError("expected a number and a size of 512 bytes to 1m, such as 4 16k") from reason


def ciphers(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9+!:_@=.-]{1,2000}", text):
        raise ValueError("expected an OpenSSL cipher list")
    return text


def log_path(text: str) -> str:
    if not re.fullmatch(
        r"/dev/std(out|err)|/var/log/nginx/[A-Za-z0-9._-]{1,200}|syslog:server=[A-Za-z0-9.:-]{1,270}", text
    ):
        raise ValueError("expected /dev/stdout, a file below /var/log/nginx or syslog:server=HOST:PORT")
    return text


def paths(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def header_names(text: str) -> tuple[str, ...]:
    """Names that are none are left out: they could not be used, and the others shall be."""
    names = (item.strip() for item in text.split(","))
    return tuple(dict.fromkeys(name for name in names if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name)))


def statuses(text: str) -> tuple[int, ...]:
    """Statuses that nginx can replace, each once."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not all(re.fullmatch("[3-5][0-9]{2}", item) for item in items):
        raise ValueError("expected statuses from 300 to 599 with commas between")
    return tuple(sorted({int(item) for item in items} - {499}))  # that one nginx does not let anybody replace


def networks(text: str) -> tuple[str, ...]:
    found = values.cidrs(text)
    if not found:
        raise ValueError("expected at least one address or network")
    return found


def refusal(text: str) -> int:
    """502 and 504 would be taken for a pod that did not answer, and tried again."""
    code = values.integer(400, 599)(text)
    if code in (502, 504):
        raise ValueError("502 and 504 say that a pod did not answer; expected another status from 400 to 599")
    return code


def method(text: str) -> Method:
    return balancing.METHODS[balancing.LOAD_BALANCE.grammar(text)]


LIMIT_VARIABLES = (
    "$binary_remote_addr", "$remote_addr", "$the_real_ip", "$http_x_forwarded_for", "$http_x_real_ip", "$http_x_user",
    "$http_authorization", "$remote_user", "$host", "$server_name",
)  # fmt: skip


def pair(grammar: values.Grammar[Any]) -> Callable[[str], tuple[str, ...]]:
    return lambda text: tuple(grammar(text))


def workers(text: str) -> int | None:
    return None if text == "auto" else values.integer(1, 512)(text)


def positive_time(text: str) -> int:
    seconds = values.seconds(text)
    if not seconds:
        raise ValueError("expected a time of 1s or more")
    return seconds


def deadline(text: str) -> float:
    seconds = values.seconds(text)
    if not 1 <= seconds <= 30:
        raise ValueError("expected a time from 1s to 30s")
    return float(seconds)
