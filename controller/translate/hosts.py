"""Host names of rules: which are legal, and how they are written in the configuration.

RFC 1123 names, at most 253 characters, labels of at most 63; a wildcard is `*.` and a name, and stands for one label
(https://kubernetes.io/docs/concepts/services-networking/ingress/#hostname-wildcards).
"""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
ADDRESS = re.compile(r"[0-9.]+")
_MAX_LENGTH = 253


def normalise_host(host: str) -> str:
    """Lower-case, without a trailing dot, international names in their `xn--` form.

    Raises `ValueError` with the reason where the text is no host name.
    """
    text = host.strip().lower() if host.isascii() else _to_ascii(host.strip())
    text = text.removesuffix(".")
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"the name has {len(text)} characters, more than {_MAX_LENGTH}")
    if not NAME.fullmatch(text):
        raise ValueError("it is not a DNS name")
    if ADDRESS.fullmatch(text):
        raise ValueError("it is an IP address, and rules match names")
    return text


def _to_ascii(host: str) -> str:
    wildcard, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    try:
        return wildcard + name.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError("it cannot be written in ASCII (IDNA)") from error


def wildcard_of(host: str) -> str:
    """The one wildcard that covers this exact host: `*.` and the name without its first label."""
    return "*." + host.partition(".")[2]
