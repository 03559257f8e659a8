"""`$escaped_request_uri`: the URI of the request, percent-encoded to be one value in a query (RFC 3986, 2.1).

nginx alone has no function for that. With njs it is a script of three lines. Without, maps do it piece by piece, up to
a number of characters that have to be encoded; beyond it the variable is that of the home page.
"""

from __future__ import annotations

import re

from controller.model.layout import NginxBinary
from controller.render.quoting import NginxText, quoted

VARIABLE = "$escaped_request_uri"
SCRIPT_NAME = "escaping.js"
SCRIPT = """// The URI of the request as it was sent, byte by byte; unreserved characters stay.
function encoded(byte) {
    const character = String.fromCharCode(parseInt(byte, 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : '%' + byte.toUpperCase();
}

function request_uri(request) {
    return request.rawVariables.request_uri.toString('hex').replace(/../g, encoded);
}

export default { request_uri };
"""
_RESERVED = ":/?#[]@!$&'()*+,;=%\"<>\\^`{|} "
_PLAIN = "[A-Za-z0-9._~-]"
PIECES = 48
"""How many characters maps can encode: each takes two groups of one expression."""


def is_used_in(text: str) -> bool:
    return re.search(r"\$(?:\{escaped_request_uri\}|escaped_request_uri(?![A-Za-z0-9_]))", text) is not None


def blocks(binary: NginxBinary) -> dict[str, NginxText]:
    """What defines the variable, as `Part.shared`."""
    if binary.has("njs"):
        lines = f"js_import hr_escaping from {SCRIPT_NAME};\njs_set {VARIABLE} hr_escaping.request_uri;"
    else:
        lines = by_maps()
    return {"hr_escaped_request_uri": NginxText(lines)}


def by_maps() -> str:
    """One expression takes the URI apart, and a map for each piece encodes the character that ends it."""
    numbers = range(PIECES)
    # Possessive, so that a URI that has too many is found out at once.
    groups = "".join(f"(?<hr_plain_{n}>{_PLAIN}*+)(?<hr_sign_{n}>[^A-Za-z0-9._~-]?+)" for n in numbers)
    encoded = " ".join(f"{quoted(_key(sign))} %{ord(sign):02X};" for sign in _RESERVED)
    maps = [f"map $hr_sign_{n} $hr_encoded_{n} {{ default $hr_sign_{n}; {encoded} }}" for n in numbers]
    whole = "".join(f"${{hr_plain_{n}}}${{hr_encoded_{n}}}" for n in numbers)
    return "\n".join((*maps, f'map $request_uri {VARIABLE} {{ default %2F; "~^{groups}$" "{whole}"; }}'))


def _key(sign: str) -> str:
    """In a map a backslash at the beginning of a key is taken away."""
    return sign * 2 if sign == "\\" else sign
