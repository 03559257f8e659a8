"""OpenSSL cipher lists, checked so that nginx cannot refuse them.

OpenSSL passes over names that it does not know, and fails where nothing is left. So every name must be one of its
vocabulary (https://docs.openssl.org/3.3/man1/openssl-ciphers/), what is not is dropped, and the rest must select a
suite that every OpenSSL with TLS 1.2 has. Whether it does is asked of the OpenSSL in this process.
"""

from __future__ import annotations

import re
import ssl
from functools import lru_cache
from typing import NamedTuple

_KEYWORDS = frozenset(
    """
    ALL COMPLEMENTOFALL COMPLEMENTOFDEFAULT DEFAULT HIGH MEDIUM LOW EXPORT EXP eNULL NULL aNULL kRSA RSA aRSA
    kDHE kEDH DH DHE EDH ADH kEECDH kECDHE ECDHE EECDH AECDH ECDH ECDSA aECDSA aDSS DSS SSLv3 TLSv1
    AES128 AES256 AES AESGCM AESCCM AESCCM8 ARIA128 ARIA256 ARIA CAMELLIA128 CAMELLIA256 CAMELLIA CHACHA20
    3DES DES RC4 RC2 IDEA SEED MD5 SHA1 SHA SHA256 SHA384 CBC
    PSK kPSK kECDHEPSK kDHEPSK kRSAPSK aPSK SRP kSRP aSRP aGOST kGOST GOST94 GOST89MAC
    """.split()
)
_SUITE_WORDS = frozenset(
    """
    ECDHE ECDSA RSA DHE EDH DSS ADH AECDH PSK SRP AES128 AES256 AES GCM CCM CCM8 SHA SHA256 SHA384 128 256
    CHACHA20 POLY1305 CAMELLIA128 CAMELLIA256 ARIA128 ARIA256 DES CBC3 CBC EDE 3DES RC4 MD5 SEED IDEA NULL GOST2012
    """.split()
)
_COMMAND = re.compile(r"@(?:STRENGTH|SECLEVEL=[0-5])")
_EVERYWHERE = frozenset(
    f"{exchange}-{cipher}"
    for exchange in ("ECDHE-ECDSA", "ECDHE-RSA")
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
) | frozenset(
    "ECDHE-RSA-AES128-SHA256 ECDHE-RSA-AES256-SHA384 DHE-RSA-AES128-GCM-SHA256 DHE-RSA-AES256-GCM-SHA384 "
    "AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-SHA AES256-SHA AES128-SHA256 AES256-SHA256 "
    "ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA".split()
)
"""Suites that no build of OpenSSL of the last years lacks."""


class Ciphers(NamedTuple):
    """A list that is safe to write, and the rules that were dropped from what was asked for."""

    text: str
    dropped: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def checked(text: str) -> Ciphers:
    """Raises `ValueError` where nothing is selected."""
    rules = [rule for rule in text.split(":") if rule]
    kept = ":".join(rule for rule in rules if _known(rule))
    dropped = tuple(rule for rule in rules if not _known(rule))
    if not kept or not _selects(kept):
        raise ValueError("it selects no cipher suite")
    return Ciphers(kept, dropped)


def _known(rule: str) -> bool:
    if rule.startswith("@"):
        return bool(_COMMAND.fullmatch(rule))
    return all(_is_name(name) for name in rule.removeprefix(rule[0] if rule[0] in "!+-" else "").split("+"))


def _is_name(name: str) -> bool:
    return name in _KEYWORDS or ("-" in name and _SUITE_WORDS.issuperset(name.split("-")))


def _selects(text: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.set_ciphers(text)
    except ssl.SSLError:
        return False
    return any(suite["name"] in _EVERYWHERE for suite in context.get_ciphers())
