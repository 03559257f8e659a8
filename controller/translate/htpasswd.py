"""Users and the hashes of their passwords, as `htpasswd` writes them
(https://nginx.org/en/docs/http/ngx_http_auth_basic_module.html#auth_basic_user_file).

Only lines whose hash is of a known scheme are kept: a password in the clear is none, and a hash that takes a worker
seconds would stop everybody else's requests while it is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

LARGEST = 1 << 20
"""Bytes. nginx reads the file from its beginning for each request."""

_COSTLIEST = 12
"""Of bcrypt, as a power of two: about 0.3 s for each request."""

_MOST_ROUNDS = 50_000
"""Of SHA-crypt, where 5,000 are usual."""

_BASE64 = "[A-Za-z0-9+/]"
_CRYPT = "[A-Za-z0-9./]"
_USER = re.compile(r"[^\x00-\x20:#\x7f][^\x00-\x1f:\x7f]{0,255}")
_PLAIN_SCHEMES = re.compile(
    rf"\{{SHA\}}{_BASE64}{{27}}=|\{{SSHA\}}{_BASE64}{{28,200}}={{0,2}}"
    rf"|\$(?:apr1|1)\${_CRYPT}{{0,8}}\${_CRYPT}{{22}}|{_CRYPT}{{13}}"
)
_BCRYPT = re.compile(rf"\$2[abxy]\$([0-9]{{2}})\${_CRYPT}{{53}}")
_SHA_CRYPT = re.compile(rf"\$[56]\$(?:rounds=([0-9]{{1,9}})\$)?[^$:\x00-\x20]{{0,16}}\${_CRYPT}{{43,86}}")


class Users(NamedTuple):
    """`text`: the lines that can be used. `dropped`: how many could not, without those that are empty or comments."""

    text: bytes
    dropped: int


def of_lines(content: bytes) -> Users:
    """The text of a file. What follows a second colon is a comment. Raises `ValueError` where it is too long."""
    _check_size(content)
    lines = [line.strip() for line in content.split(b"\n")]
    pairs = [line.split(b":")[:2] for line in lines if line and not line.startswith(b"#")]
    return _of_pairs((pair[0], pair[1] if len(pair) > 1 else b"") for pair in pairs)


def of_entries(entries: Mapping[str, bytes]) -> Users:
    """One entry for each user. Raises `ValueError` where they are too long."""
    _check_size(b"".join(entries.values()))
    return _of_pairs((user.encode(), password.strip()) for user, password in sorted(entries.items()))


def _check_size(content: bytes) -> None:
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")


def _of_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> Users:
    kept, dropped = [], 0
    for user, password in pairs:
        if _is_user(user) and _is_hash(password):
            kept.append(user + b":" + password + b"\n")
        else:
            dropped += 1
    return Users(b"".join(kept), dropped)


def _is_user(name: bytes) -> bool:
    try:
        return _USER.fullmatch(name.decode()) is not None
    except UnicodeDecodeError:
        return False


def _is_hash(password: bytes) -> bool:
    text = password.decode("latin-1")
    if found := _BCRYPT.fullmatch(text):
        return 4 <= int(found[1]) <= _COSTLIEST
    if found := _SHA_CRYPT.fullmatch(text):
        return int(found[1] or 5_000) <= _MOST_ROUNDS
    return _PLAIN_SCHEMES.fullmatch(text) is not None
