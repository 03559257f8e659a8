"""Variables of nginx that users may write into URLs and headers: closed lists, as parts of patterns.

None of them can hold a line break or a blank where it is used. `$uri` and `$document_uri` mean the path as the client
has sent it: decoded it may hold anything. After the name of a variable comes something that no name can hold, or its
end, so that nginx reads the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

OF_URLS = (
    "request_uri", "escaped_request_uri", "uri", "document_uri", "is_args", "args", "query_string", "scheme",
    "pass_access_scheme", "host", "http_host", "best_http_host", "server_name", "request_method", "request_id",
    "req_id", "remote_addr", "the_real_ip", "namespace", "ingress_name", "service_name", "service_port",
)  # fmt: skip
_NO_NAME = "./:~?&=%+,;@!*()-"
_TEXT = f"[A-Za-z0-9_{re.escape(_NO_NAME)}]"
_ARGUMENT = "arg_[A-Za-z0-9_]{1,64}"
_WHOLE_URI = r"(?:request_uri|uri|document_uri)"


def _variable(names: str) -> str:
    """One, bare or in braces, and the text up to the next one."""
    return rf"(?:\$(?:{names})(?:[{re.escape(_NO_NAME)}]{_TEXT}*)?|\$\{{(?:{names})\}}{_TEXT}*)"


def _any_of(names: Iterable[str], *families: str) -> str:
    return "|".join((*names, *families))


_IN_URL = _variable(_any_of(OF_URLS, _ARGUMENT))
REST = rf"(?:[/?]{_TEXT}*|{_variable(_WHOLE_URI)})(?:{_IN_URL})*"
"""Path and query of a URL."""

TEXT = rf"{_TEXT}*(?:{_IN_URL})*"
"""Text that may be put into a header."""

_OF_REQUESTS = (*OF_URLS, "remote_user", "cookie_[A-Za-z0-9_]{1,64}", "http_[a-z0-9_]{1,64}", _ARGUMENT)
_KEY_NAMES = _any_of(_OF_REQUESTS)
KEY = rf" *[A-Za-z0-9_-]*(?:\$(?:{_KEY_NAMES})(?:[ -][A-Za-z0-9_ -]*)?|\$\{{(?:{_KEY_NAMES})\}}[A-Za-z0-9_ -]*)*"
"""What answers are remembered by: words and variables of the request, which blanks may separate."""

_HEADER_NAMES = _any_of(OF_URLS, "http_[a-z0-9_]+", "cookie_[A-Za-z0-9_]+", _ARGUMENT)
_IN_HEADER = re.compile(rf"\$(?:\{{(?:{_HEADER_NAMES})\}}|(?:{_HEADER_NAMES})(?![A-Za-z0-9_]))")


def has_only_known(value: str) -> bool:
    """Whether every dollar sign of a header's value begins a variable that may be used there."""
    return "$" not in _IN_HEADER.sub("", value)
