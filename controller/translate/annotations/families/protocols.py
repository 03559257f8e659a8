"""What is spoken with the pods: `backend-protocol`, and the settings of FastCGI."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.features import Feature
from controller.model.features.backend_tls import FastCgi
from controller.model.policy import Protocol
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.resources import split_reference

BACKEND_PROTOCOL = Annotation(
    "backend-protocol",
    Grammar(
        re.compile("|".join("".join(f"[{c}{c.lower()}]" if c.isalpha() else c for c in name) for name in Protocol)),
        f"one of {', '.join(Protocol)}",
        lambda text: Protocol(text.upper()),
    ),
)
INDEX = Annotation("fastcgi-index", Grammar(re.compile(r"[A-Za-z0-9._-]{1,200}"), "the name of a file", str))
_LABEL = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
PARAMS = Annotation(
    "fastcgi-params-configmap", Grammar(re.compile(rf"(?:{_LABEL}/)?{_LABEL}"), "the name of a ConfigMap", str)
)
ANNOTATIONS = (BACKEND_PROTOCOL, INDEX, PARAMS)

_KEY = re.compile(r"[A-Za-z0-9._-]{1,200}")
_VALUE = re.compile(r"(?:[A-Za-z0-9_./-]|\$[a-z][a-z0-9_]*|\$\{[a-z][a-z0-9_]*\}){0,1000}")
_VARIABLE = re.compile(r"\$\{?([a-z][a-z0-9_]*)")
_VARIABLES = frozenset(
    """
    fastcgi_script_name fastcgi_path_info uri document_uri request_uri args query_string is_args request_method
    content_type content_length host http_host server_name server_port server_protocol scheme https remote_addr
    remote_port remote_user request_id req_id the_real_ip best_http_host pass_access_scheme pass_port namespace
    ingress_name service_name service_port ssl_protocol ssl_cipher ssl_client_verify ssl_client_s_dn ssl_client_i_dn
    """.split()
)
_OF_THE_REQUEST = ("http_", "arg_", "cookie_")


def read(reader: Reader) -> Iterable[Feature]:
    if of_ingress(reader) is not Protocol.FCGI:
        return
    yield FastCgi(reader.value(INDEX, ""), _params(reader))


def of_ingress(reader: Reader) -> Protocol:
    """What the pods of the Ingress speak."""
    return reader.value(BACKEND_PROTOCOL, Protocol.HTTP)


def _params(reader: Reader) -> tuple[tuple[str, str], ...]:
    reference = reader.secure(PARAMS, "")
    if not reference:
        return ()
    if split_reference(reference, reader.namespace)[0] != reader.namespace:
        reader.close(PARAMS, "The ConfigMap must be in the namespace of the Ingress.")
        return ()
    found = reader.configmap(PARAMS, reference)
    if found is None:
        reader.close(PARAMS, f"There is no ConfigMap {reader.namespace}/{reference.rpartition('/')[2]}.")
        return ()
    for key, value in found.data.items():
        if fault := _fault(key, value):
            reader.close(PARAMS, f"Key {key[:60]!r} of the ConfigMap cannot be a parameter: {fault}.")
            return ()
    return tuple(sorted(found.data.items()))


def _fault(key: str, value: str) -> str:
    """What is wrong with a parameter, or nothing."""
    if not _KEY.fullmatch(key):
        return "a name has letters, digits and . - _ only"
    if not _VALUE.fullmatch(value):
        return "a value has letters, digits, - _ / . and variables only"
    unknown = [name for name in _VARIABLE.findall(value) if not _is_variable(name)]
    return f"there is no variable ${unknown[0]} for it" if unknown else ""


def _is_variable(name: str) -> bool:
    return name in _VARIABLES or name.startswith(_OF_THE_REQUEST)
