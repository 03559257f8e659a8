"""Grammars of keys of the ConfigMap that no annotation shares. Each raises `ValueError` with what it accepts.

nginx is handed only what it takes: a value that it refused would cost the whole configuration, and not one key.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from controller.model.features.balancing import Method
from controller.model.secretbytes import SecretBytes
from controller.translate.annotations import values
from controller.translate.annotations.families import balancing
from controller.translate.backtracking import check_backtracking
from controller.translate.ciphers import checked
from controller.translate.paths import check_regex
from controller.translate.resources import split_reference

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
    return checked(text).text


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


# -- places to log to

_FILE = re.compile(r"/dev/std(out|err)|/var/log/nginx/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def syslog_address(text: str) -> str:
    """An address; IPv6 in brackets or not. A name that cannot be resolved would keep nginx from starting."""
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError as reason:
        raise ValueError("expected the address of a syslog server; a name could keep nginx from starting") from reason
    return f"[{address}]" if address.version == 6 else str(address)


def log_path(text: str) -> str:
    if _FILE.fullmatch(text):
        return text
    server = re.fullmatch(r"syslog:server=(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::([0-9]{1,5}))?", text, re.ASCII)
    if not server:
        raise ValueError("expected /dev/stdout, a file below /var/log/nginx or syslog:server=ADDRESS:PORT")
    return f"syslog:server={syslog_address(server[1])}:{values.integer(1, 65_535)(server[2] or '514')}"


def log_parameters(text: str) -> str:
    """`buffer=SIZE`, `gzip` with a level, `flush=TIME`: nginx wants a buffer, or gzip, where there is a time."""
    known: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if name in known or name not in _LOG_PARAMETERS or (not equals and name != "gzip"):
            raise ValueError("expected buffer=SIZE, gzip or gzip=LEVEL, and flush=TIME")
        known[name] = f"{name}={_LOG_PARAMETERS[name](value)}" if equals else name
    if "flush" in known and len(known) == 1:
        raise ValueError("flush needs a buffer")
    return " ".join(known.values())


_LOG_PARAMETERS: dict[str, Callable[[str], Any]] = {
    "buffer": values.size(KIB, 64 * MIB),
    "gzip": values.integer(1, 9),
    "flush": values.duration,
}


# -- lists of patterns


def patterns(text: str) -> tuple[str, ...]:
    """Items with commas between: a whole value in any case, or `~` (`~*`: in any case) and a regular expression."""
    items = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if not items:
        raise ValueError("expected values, or regular expressions after a ~, with commas between")
    for item in items:
        _check_pattern(item)
    texts = {item if item.startswith("~") else item.lower(): item for item in items}
    return tuple(texts.values())


def _check_pattern(item: str) -> None:
    if len(item.encode()) > 1_000 or not item.isprintable():
        raise ValueError(f"{item[:60]!r} is too long, or not one line of text")
    if item.startswith("~"):
        regular_expression(item.removeprefix("~").removeprefix("*"))


def regular_expression(text: str) -> str:
    """One that PCRE takes too, that sets no variables of nginx, and that is quick."""
    if not text or len(text.encode()) > 1_000 or not text.isprintable():
        raise ValueError("expected a regular expression in one line of no more than 1000 bytes")
    try:
        check_regex(text)
        re.compile(text)
    except re.error as reason:
        raise ValueError(f"{text!r} is not a regular expression: {reason}") from reason
    if _PYTHON_ONLY.search(text):
        raise ValueError(f"{text!r} holds what only some engines know")
    check_backtracking(text)
    return text


_PYTHON_ONLY = re.compile(r"\\[NuUZxgkpPLlQEcoXRKGzh]|\(\?[^:=!<>i-]|\(\?<(?![=!])|\[\[|\(\*|(?:^|[^\\])\[\]|\[\^\]")
"""What Python and PCRE read differently, or only one of them knows; the rest of Python's grammar is PCRE's too."""


# -- headers and types

LONGEST_NAME = 40
"""Characters of a header's name: nginx keeps names for gRPC and FastCGI in tables whose places are 64 bytes."""


def hidden_headers(text: str) -> tuple[str, ...]:
    """Names, each once in any case; what is none is left out."""
    names = {name.lower(): name for name in header_names(text) if len(name) <= LONGEST_NAME}
    if not names or len(names) > 500:
        raise ValueError(f"expected up to 500 names of headers of no more than {LONGEST_NAME} characters")
    return tuple(names.values())


def types(text: str) -> tuple[str, ...]:
    """MIME types with blanks between. text/html is always among them, and nginx warns where it is named too."""
    found = tuple(dict.fromkeys(text.lower().split()))
    if not found or not all(word == "*" or _TYPE.fullmatch(word) for word in found) or len(found) > 200:
        raise ValueError("expected MIME types such as text/css with blanks between")
    return tuple(word for word in found if word != "text/html")


_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,80}/[A-Za-z0-9][A-Za-z0-9.+-]{0,80}|[a-z]+/\*")


def default_type(text: str) -> str:
    """A MIME type, as it is sent where a file has none of its own."""
    if not _TYPE.fullmatch(text) or "*" in text:
        raise ValueError("expected a MIME type such as text/html")
    return text


def reference(text: str) -> str:
    """`namespace/name` of another object."""
    namespace, _ = split_reference(text, "")
    if not namespace:
        raise ValueError("expected namespace/name")
    return text


# -- TLS

CURVES = ("X25519", "prime256v1", "secp384r1", "secp521r1", "X448", "P-256", "P-384", "P-521")
"""Groups that every OpenSSL of the last years has: one that it does not know would keep nginx from starting."""


def curves(text: str) -> str:
    found = text.split(":")
    if text != "auto" and (not set(found) <= set(CURVES) or len(set(found)) != len(found)):
        raise ValueError(f"expected auto, or with colons between: {', '.join(CURVES)}")
    return text


def ticket_key(text: str) -> SecretBytes:
    """48 bytes (AES-128) or 80 bytes (AES-256) in base64
    (https://nginx.org/en/docs/http/ngx_http_ssl_module.html#ssl_session_ticket_key)."""
    try:
        found = base64.b64decode("".join(text.split()), validate=True)
    except ValueError as reason:
        raise ValueError("expected base64") from reason
    if len(found) not in (48, 80):
        raise ValueError("expected base64 of 48 or 80 bytes")
    return SecretBytes(found)


# -- workers and sockets


def affinity(text: str) -> str:
    """`auto`, `auto` with a mask, or a mask for each worker."""
    if not re.fullmatch(r"auto(?: [01]{1,512})?|[01]{1,512}(?: [01]{1,512}){0,63}", text) or len(text) > 2_000:
        raise ValueError("expected auto, or masks of 0 and 1 with blanks between")
    if any("1" not in mask for mask in text.split() if mask != "auto"):
        raise ValueError("a mask without a 1 allows no processor")
    return text


def connections(text: str) -> int:
    """0: three quarters of the files that a worker may open."""
    number = values.integer(0, 1_000_000)(text)
    if 0 < number < 64:
        raise ValueError("expected 0 or a whole number from 64 to 1000000")
    return number


def open_files(text: str) -> int:
    """0: what the system allows."""
    number = values.integer(0, 10_000_000)(text)
    if 0 < number < 1024:
        raise ValueError("expected 0 or a whole number from 1024 to 10000000")
    return number


def addresses(text: str) -> tuple[str, ...]:
    """Addresses; what is none is left out, as it always was. IPv6 in brackets."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            address = ipaddress.ip_address(item.removeprefix("[").removesuffix("]"))
        except ValueError:
            continue
        found.append(f"[{address}]" if address.version == 6 else str(address))
    if not found or any("%" in address for address in found):
        raise ValueError("expected addresses with commas between")
    return tuple(dict.fromkeys(found))


def networks_of(version: int) -> Callable[[str], tuple[str, ...]]:
    """Networks of one version of IP."""

    def parse(text: str) -> tuple[str, ...]:
        found = networks(text)
        if any(ipaddress.ip_network(network).version != version for network in found):
            raise ValueError(f"expected addresses and networks of IPv{version}")
        return found

    return parse


def some_networks(text: str) -> tuple[str, ...]:
    """Networks; what is none is left out, as it always was."""
    found: list[str] = []
    for item in text.split(","):
        with suppress(ValueError):
            found.extend(values.cidrs(item))
    if not found:
        raise ValueError("expected at least one address or network")
    return tuple(dict.fromkeys(found))


bucket_size = values.integer(32, 32_768)
"""Bytes: nginx wants less than 65,536 with what it adds."""

table_size = values.integer(64, 1_048_576)
