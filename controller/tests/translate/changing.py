"""A small cluster in which everything hangs on everything, and random changes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st

from controller.k8s.codec import TYPES
from controller.k8s.core import Secret
from controller.k8s.meta import ObjectMeta
from controller.model.diagnostics import Diagnostic, Effect, Severity
from controller.model.options import HostOwnership, Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.state.events import Applied, Deleted, Event, Rejected, Unreadable
from controller.tests.live.objects import key_pair

DAY = 86_400
SETTINGS = ObjectKey(Kind.CONFIG_MAP, "ops", "settings")
TCP = ObjectKey(Kind.CONFIG_MAP, "ops", "tcp")
NAMESPACES = ("blue", "red")
HOSTS = ("a.example.com", "b.example.com", "*.example.com", "", "www.a.example.com")
PATHS = ("/", "/", "/api", "/oauth2/", "/v[0-9]+")
SERVICES = ("web", "api", "outside")
TIMES = ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", None)
OURS = "nginx.ingress.kubernetes.io/"

ANNOTATIONS: tuple[Mapping[str, str], ...] = (
    {"canary": "true", "canary-weight": "20"},
    {"canary": "true", "canary-by-header": "X-New"},
    {"use-regex": "true"},
    {"rewrite-target": "/$1"},
    {"server-alias": "alias.example.com,b.example.com"},
    {"server-alias": "alias.example.com"},
    {"from-to-www-redirect": "true"},
    {"ssl-redirect": "false"},
    {"force-ssl-redirect": "true"},
    {"auth-url": "https://$host/oauth2/auth"},
    {"auth-url": "http://api.blue.svc/check"},
    {"auth-type": "basic", "auth-secret": "users"},
    {"auth-type": "basic", "auth-secret": "gone"},
    {"auth-tls-secret": "blue/ca"},
    {"proxy-ssl-secret": "blue/pair", "backend-protocol": "HTTPS", "proxy-ssl-verify": "on"},
    {"backend-protocol": "GRPC"},
    {"ssl-passthrough": "true"},
    {"default-backend": "api", "custom-http-errors": "503"},
    {"custom-http-errors": "404"},
    {"affinity": "cookie"},
    {"load-balance": "ewma"},
    {"upstream-hash-by": "$request_uri"},
    {"service-upstream": "true"},
    {"mirror-target": "http://mirror.example.org/"},
    {"custom-headers": "blue/headers"},
    {"whitelist-source-range": "10.0.0.0/8"},
    {"limit-rps": "5"},
    {"app-root": "/home"},
    {"ssl-ciphers": "HIGH"},
    {"modsecurity-snippet": "no"},
    {"proxy-body-size": "many"},
    {"enable-global-auth": "false"},
    {"no-such-thing": "x"},
)
CONFIGMAPS: Mapping[ObjectKey, Sequence[Mapping[str, str]]] = {
    SETTINGS: (
        {},
        {"hsts": "false"},
        {"custom-http-errors": "503"},
        {"global-auth-url": "http://api.blue.svc/check"},
        {"add-headers": "blue/headers"},
        {"limit-divide-by-replicas": "true"},
        {"proxy-ssl-location-only": "true"},
    ),
    TCP: ({}, {"5432": "blue/web:80"}, {"5432": "red/api:http", "70000": "no"}),
    ObjectKey(Kind.CONFIG_MAP, "blue", "headers"): ({"X-One": "1"}, {"X-One": "2", "X-Two": "2"}),
}
SPECS: tuple[Mapping[str, Any], ...] = (
    {"ports": [{"port": 80, "name": "http"}], "clusterIP": "10.96.0.7"},
    {"ports": [{"port": 80, "name": "web", "targetPort": 8080}, {"port": 443, "name": "https"}]},
    {"ports": []},
    {"type": "ExternalName", "externalName": "www.example.org", "ports": [{"port": 80}]},
    {"type": "ExternalName", "externalName": "localhost"},
)


def options_of(ownership: HostOwnership, *, passthrough: bool, replicas: int) -> Options:
    return Options(
        watch_ingress_without_class=True,
        configmap=SETTINGS,
        default_backend_service=ObjectKey(Kind.SERVICE, "ops", "web"),
        default_ssl_certificate=ObjectKey(Kind.SECRET, "blue", "other"),
        allowed_secret_namespaces=("blue",),
        host_ownership=ownership,
        tcp_services_configmap=TCP,
        enable_ssl_passthrough=passthrough,
        replicas=replicas,
    )


options = st.builds(
    options_of, st.sampled_from(HostOwnership), passthrough=st.booleans(), replicas=st.sampled_from((1, 1, 1, 2))
)


@cache
def _secrets() -> Mapping[str, Sequence[Mapping[str, bytes]]]:
    """What each Secret may hold. Certificates end on days from now on, so that time makes a difference."""
    a, soon = key_pair("a.example.com", days=20), key_pair("a.example.com", "b.example.com", days=5)
    wide = key_pair("*.example.com", "alias.example.com", days=20)
    users = {"auth": b"alice:$apr1$abcdefgh$AAAAAAAAAAAAAAAAAAAAA.\n"}
    broken = {"tls.crt": b"no", "tls.key": b"no"}
    pairs = [{"tls.crt": chain, "tls.key": key, "ca.crt": chain} for chain, key in (a, soon, wide)]
    return {
        "pair": [pairs[0], pairs[1], broken],
        "other": [pairs[2], pairs[1], broken, {}],
        "ca": [{"ca.crt": wide[0]}, {"ca.crt": b"no"}],
        "users": [users, {}],
    }


def object_of(kind: Kind, namespace: str, name: str, **fields: Any) -> Applied:
    meta = fields.pop("metadata", {})
    wire = {"metadata": {"name": name, "namespace": namespace, **meta}, **fields}
    return Applied(ObjectKey(kind, namespace, name), msgspec.convert(wire, TYPES[kind]))


@st.composite
def _ingresses(draw: st.DrawFn) -> Event:
    namespace, name = draw(st.sampled_from(NAMESPACES)), draw(st.sampled_from(("one", "two", "three")))
    if draw(st.integers(0, 5)) == 0:
        return Deleted(ObjectKey(Kind.INGRESS, namespace, name))
    rules = draw(st.lists(_rules(), min_size=draw(st.sampled_from((0, 1, 1, 1))), max_size=3))
    asked: dict[str, str] = {}
    for found in draw(st.lists(st.sampled_from(ANNOTATIONS), max_size=3)):
        asked |= {OURS + key: value for key, value in found.items()}
    spec: dict[str, Any] = {"rules": rules, "tls": draw(st.lists(_tls(), max_size=2))}
    if not rules or draw(st.integers(0, 3)) == 0:
        spec["defaultBackend"] = draw(_backends())
    chosen = draw(st.sampled_from((None, None, "ours", "ours", "ours", "theirs")))
    if chosen:
        spec["ingressClassName"] = chosen
    meta = {
        "creationTimestamp": draw(st.sampled_from(TIMES)),
        "resourceVersion": str(draw(st.integers(0, 9))),
        "annotations": asked,
    }
    return object_of(Kind.INGRESS, namespace, name, metadata=meta, spec=spec)


@st.composite
def _backends(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 29)) == 0:
        return {"resource": {"kind": "Bucket", "name": "static"}}
    port = draw(st.sampled_from(({"number": 80}, {"number": 80}, {"name": "http"}, {"number": 8080})))
    return {"service": {"name": draw(st.sampled_from(SERVICES)), "port": port}}


@st.composite
def _rules(draw: st.DrawFn) -> dict[str, Any]:
    paths = st.fixed_dictionaries(
        {
            "path": st.sampled_from(PATHS),
            "pathType": st.sampled_from(("Prefix", "Prefix", "Prefix", "Exact", "ImplementationSpecific", "Wrong")),
            "backend": _backends(),
        }
    )
    host = draw(st.sampled_from((*HOSTS, *HOSTS, "not a host")))
    return {"host": host, "http": {"paths": draw(st.lists(paths, min_size=1, max_size=3))}}


@st.composite
def _tls(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(HOSTS), max_size=2))
    return {"hosts": names, "secretName": draw(st.sampled_from(("pair", "pair", "other", "")))}


@st.composite
def _others(draw: st.DrawFn) -> Event:
    """A Service, Secret, ConfigMap, class or Namespace in another state, or gone."""
    namespace, kind = draw(st.sampled_from((*NAMESPACES, "ops"))), draw(st.sampled_from((0, 0, 1, 1, 1, 2, 3, 4, 4, 5)))
    gone = draw(st.integers(0, 4)) == 0
    if kind == 0:
        found = object_of(Kind.SERVICE, namespace, draw(st.sampled_from(SERVICES)), spec=draw(st.sampled_from(SPECS)))
    elif kind == 1:
        name = draw(st.sampled_from(sorted(_secrets())))
        data = {key: SecretBytes(value) for key, value in draw(st.sampled_from(_secrets()[name])).items()}
        built = Secret(metadata=ObjectMeta(name=name, namespace=namespace), data=data)
        found = Applied(ObjectKey(Kind.SECRET, namespace, name), built)
    elif kind == 2:
        key = draw(st.sampled_from(sorted(CONFIGMAPS)))
        found = object_of(key.kind, key.namespace, key.name, data=draw(st.sampled_from(CONFIGMAPS[key])))
    elif kind == 3:
        controller = draw(st.sampled_from(("headrace.dev/ingress", "example.com/other")))
        found = object_of(
            Kind.INGRESS_CLASS, "", draw(st.sampled_from(("ours", "theirs"))), spec={"controller": controller}
        )
    elif kind == 4:
        hosts = draw(st.sampled_from(("*", "*.example.com", "a.example.com, alias.example.com", "")))
        found = object_of(Kind.NAMESPACE, "", namespace, metadata={"annotations": {"headrace.dev/hosts": hosts}})
    else:
        others: tuple[Event, ...] = (_rejected(namespace), Unreadable(Kind.INGRESS_CLASS), Unreadable(Kind.SECRET))
        return draw(st.sampled_from(others))
    return Deleted(found.key) if gone else found


def _rejected(namespace: str) -> Rejected:
    key = ObjectKey(Kind.INGRESS, namespace, "one")
    text = "Expected `str`, got `int`."
    return Rejected(
        key, Diagnostic("object-unreadable", Severity.ERROR, key, FieldPath("spec"), text, Effect.OBJECT_IGNORED)
    )


ingresses = _ingresses()
others = _others()


def everything() -> list[Event]:
    """All Services, Secrets and ConfigMaps in their first state."""
    found: list[Event] = [
        object_of(Kind.SERVICE, namespace, name, spec=SPECS[0])
        for namespace in (*NAMESPACES, "ops")
        for name in SERVICES
    ]
    found += [
        Applied(
            ObjectKey(Kind.SECRET, namespace, name),
            Secret(
                metadata=ObjectMeta(name=name, namespace=namespace),
                data={key: SecretBytes(value) for key, value in states[0].items()},
            ),
        )
        for namespace in NAMESPACES
        for name, states in _secrets().items()
    ]
    found += [object_of(key.kind, key.namespace, key.name, data=states[0]) for key, states in CONFIGMAPS.items()]
    found.append(object_of(Kind.INGRESS_CLASS, "", "ours", spec={"controller": "headrace.dev/ingress"}))
    return found
