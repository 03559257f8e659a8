"""Annotations about how requests are spread over the pods of a Service."""

from __future__ import annotations

import re

from controller.model.features.balancing import Balancing, Method
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

METHODS = {
    "round_robin": Method.ROUND_ROBIN,
    "ewma": Method.EWMA,
    "least_conn": Method.LEAST_CONN,
    "random": Method.RANDOM,
    # What the annotations about hashing and affinity bring about in ingress-nginx; by itself it hashes nothing.
    "chash": Method.ROUND_ROBIN,
    "chashsubset": Method.ROUND_ROBIN,
    "sticky_balanced": Method.ROUND_ROBIN,
    "sticky_persistent": Method.ROUND_ROBIN,
}
BY_COOKIE = frozenset({"sticky_balanced", "sticky_persistent"})

VARIABLES = (
    "arg_[a-zA-Z0-9_]+", "cookie_[a-zA-Z0-9_]+", "http_[a-z0-9_]+", "args", "query_string", "request_uri", "uri",
    "document_uri", "host", "http_host", "best_http_host", "server_name", "server_port", "scheme",
    "pass_access_scheme", "request_method", "request_id", "req_id", "remote_addr", "binary_remote_addr", "remote_user",
    "remote_port", "the_real_ip", "content_type", "content_length", "namespace", "ingress_name", "service_name",
    "service_port", "ssl_client_s_dn", "ssl_client_i_dn", "ssl_client_serial",
    "ssl_client_fingerprint", "ssl_server_name", "ssl_session_id",
)  # fmt: skip
"""Of a hash key. Names that nginx does not know would cost everyone the configuration."""

_VARIABLE = f"(?:{'|'.join(VARIABLES)})"
_PLAIN, _BRACED = "[A-Za-z0-9_ -]", rf"\$\{{{_VARIABLE}\}}"
hash_key = Grammar(
    re.compile(rf"(?:{_PLAIN}|{_BRACED})*(?:\${_VARIABLE}(?:(?:[ -]|{_BRACED})(?:{_PLAIN}|{_BRACED})*)?)*"),
    "letters, digits, - _ and variables such as $request_uri or ${http_x_user}",
    str,
)
spread = Grammar(re.compile(r"\+?0*(?:100|[0-9]{1,2})"), "a whole number from 0 to 100", int)

LOAD_BALANCE = Annotation("load-balance", Grammar(re.compile("|".join(METHODS)), f"one of: {', '.join(METHODS)}", str))
HASH_BY = Annotation("upstream-hash-by", hash_key)
BY_SUBSET = Annotation("upstream-hash-by-subset", values.boolean)
SUBSET_SIZE = Annotation("upstream-hash-by-subset-size", spread)
SERVICE_UPSTREAM = Annotation("service-upstream", values.boolean)

ANNOTATIONS = (LOAD_BALANCE, HASH_BY, BY_SUBSET, SUBSET_SIZE, SERVICE_UPSTREAM)
USUAL_SPREAD = 3


def of_ingress(reader: Reader) -> Balancing:
    """A hash key beats the method; the method of the controller's ConfigMap is the usual one."""
    named = reader.value(LOAD_BALANCE, "")
    key = reader.value(HASH_BY, "")
    size = reader.value(SUBSET_SIZE, USUAL_SPREAD) or USUAL_SPREAD
    subset = reader.value(BY_SUBSET, False)
    if key:
        return Balancing(Method.HASH, key, size if subset else 1)
    return Balancing(METHODS[named] if named else reader.main.load_balance)


def through_service(reader: Reader) -> bool:
    """An invalid value counts as false, not as the ConfigMap's."""
    if not reader.text(SERVICE_UPSTREAM):
        return reader.main.service_upstream
    return reader.value(SERVICE_UPSTREAM, False)


def sticks_by_method(reader: Reader) -> bool:
    """`load-balance` can ask for a cookie, too."""
    return reader.text(LOAD_BALANCE) in BY_COOKIE
