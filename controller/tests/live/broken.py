"""Fifty objects, each broken in a way of its own, with what must be said of each.

Each Ingress has a host of its own, `NAME.broken.test`, unless the host is what is wrong with it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from controller.tests.live.objects import Object, ingress, key_pair, tls_secret

REGEX = {"use-regex": "true"}
PATH = "spec.rules[0].http.paths[0].path"
ANNOTATION = "metadata.annotations[nginx.ingress.kubernetes.io/{}]"


@dataclass(frozen=True)
class Broken:
    """`object` is one document, or the text of a file. `about` is who is named: kind and name."""

    name: str
    object: Object | str
    code: str
    field: str
    effect: str
    about: tuple[str, str]


def broken_objects() -> list[Broken]:
    found = [*_paths(), *_backends(), *_hosts(), *_shapes(), *_annotations(), *_certificates(), *_files()]
    assert len({broken.name for broken in found}) == len(found) == 50, len(found)
    return found


def _of(
    name: str, built: Object | str, code: str, field: str, effect: str, about: tuple[str, str] | None = None
) -> Broken:
    return Broken(name, built, code, field, effect, about or ("Ingress", name))


def _path(name: str, path: str, code: str = "path-invalid", kind: str = "Prefix", **extra: Any) -> Broken:
    built = ingress(name, (f"{name}.broken.test", path, kind, "app"), **extra)
    return _of(name, built, code, PATH, "path-unserved")


def _paths() -> list[Broken]:
    def regex(name: str, path: str) -> Broken:
        return _path(name, path, "path-regex-invalid", "ImplementationSpecific", annotations=REGEX)

    taken = ingress("path-taken", ("good0.test", "/", "Prefix", "app"), created="2030-01-01T00:00:00Z")
    return [
        regex("regex-parenthesis", "/a(b"),
        regex("regex-class", "/a[b"),
        regex("regex-repeat", "/a**"),
        regex("regex-escape", "/a\\"),
        regex("regex-range", "/[z-a]"),
        _path("path-newline", "/a\nb"),
        _path("path-carriage-return", "/a\r", kind="ImplementationSpecific"),
        _path("path-nul", "/a\0b", kind="ImplementationSpecific"),
        _path("path-space", "/a b", kind="Exact"),
        _path("path-directive", "/a { return 200; }"),
        _path("path-quote", '/a"b'),
        _path("path-variable", "/$host"),
        _path("path-relative", "a/b"),
        _path("path-percent", "/a%zz"),
        _path("path-dots", "/a/../b"),
        _path("path-huge", "/" + "x" * 4000),
        _of("path-taken", taken, "path-taken", PATH, "path-unserved"),
    ]


def _backends() -> list[Broken]:
    def backend(name: str, service: str, port: int | str, code: str, field: str) -> Broken:
        built = ingress(name, (f"{name}.broken.test", "/", "Prefix", service, port))
        return _of(name, built, code, field, "path-unserved")

    resource = ingress("backend-resource", ("backend-resource.broken.test", "/", "Prefix", "app"))
    resource["spec"]["rules"][0]["http"]["paths"][0]["backend"] = {"resource": {"kind": "Bucket", "name": "b"}}
    at = PATH.removesuffix("path") + "backend"
    return [
        backend("service-missing", "nowhere", 80, "service-not-found", f"{at}.service.name"),
        backend("port-number", "app", 81, "port-not-found", f"{at}.service.port"),
        backend("port-name", "app", "grpc", "port-not-found", f"{at}.service.port"),
        backend("external-loopback", "loopback", 80, "external-name-refused", f"{at}.service.name"),
        _of("backend-resource", resource, "backend-unsupported", at, "path-unserved"),
    ]


def _hosts() -> list[Broken]:
    hosts = {
        "host-underscore": "bad_host.test",
        "host-space": "bad host.test",
        "host-address": "10.0.0.1",
        "host-port": "bad.test:80",
        "host-star": "*",
        "host-wildcard": "a.*.test",
        "host-long": "x" * 64 + ".test",
        "host-directive": "x.test; return 200",
    }
    return [
        _of(name, ingress(name, (host, "/", "Prefix", "app")), "host-invalid", "spec.rules[0].host", "host-unserved")
        for name, host in hosts.items()
    ]


def _shapes() -> list[Broken]:
    def shape(name: str, *keys: str | int, value: Any) -> Broken:
        built = copy.deepcopy(ingress(name, (f"{name}.broken.test", "/", "Prefix", "app")))
        place: Any = built
        for key in keys[:-1]:
            place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
        place[keys[-1]] = value
        field = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)[1:]
        return _of(name, built, "object-unreadable", field, "object-ignored")

    path = ("spec", "rules", 0, "http", "paths", 0)
    return [
        shape("shape-rules", "spec", "rules", value="all of them"),
        shape("shape-path", *path, "path", value=7),
        shape("shape-port", *path, "backend", "service", "port", "number", value="eighty"),
        shape("shape-tls", "spec", "tls", value={"hosts": ["x"]}),
        shape("shape-annotations", "metadata", "annotations", value=["a", "b"]),
        shape("Not_A_Name", "metadata", "name", value="Not_A_Name"),
        shape("shape-version", "apiVersion", value="networking.k8s.io/v7"),
    ]


def _annotations() -> list[Broken]:
    def annotated(name: str, key: str, value: str, code: str, effect: str) -> Broken:
        built = ingress(name, (f"{name}.broken.test", "/", "Prefix", "app"), annotations={key: value})
        return _of(name, built, code, ANNOTATION.format(key), effect)

    return [
        annotated("closes-auth", "auth-url", "ftp://sso.test/", "annotation-closes-route", "path-unserved"),
        annotated("closes-lists", "whitelist-source-range", "10.0.0.0/33", "annotation-closes-route", "path-unserved"),
        annotated("invalid-boolean", "ssl-redirect", "maybe", "annotation-invalid", "setting-ignored"),
        annotated("invalid-rewrite", "rewrite-target", "/$1; return 200", "annotation-invalid", "setting-ignored"),
        annotated("unknown", "rewrite-taget", "/", "annotation-unknown", "setting-ignored"),
        annotated("refused", "configuration-snippet", "return 200;", "annotation-refused", "setting-ignored"),
    ]


def _certificates() -> list[Broken]:
    """Secrets are broken here; the Ingress that uses one is among `certificate_users`, and is told as well."""
    good, other = key_pair("secret-mismatch.good.test"), key_pair("other.test")
    unreadable = tls_secret("secret-unreadable", (b"no certificate", b"no key"))
    empty = tls_secret("secret-empty", good)
    empty["data"] = {}
    missing = ingress("secret-missing", ("secret-missing.broken.test", "/", "Prefix", "app"),
                      tls=[{"hosts": ["secret-missing.broken.test"], "secretName": "nowhere"}])  # fmt: skip
    expired = key_pair("secret-expired.good.test", days=-1)
    default = "default-certificate-served"
    return [
        _secret(
            "secret-mismatch", tls_secret("secret-mismatch", (good[0], other[1])), "certificate-key-mismatch", default
        ),
        _secret("secret-unreadable", unreadable, "certificate-unreadable", default),
        _secret("secret-empty", empty, "certificate-unreadable", default),
        _of(
            "secret-expired",
            tls_secret("secret-expired", expired),
            "certificate-expired",
            "spec.tls[0].secretName",
            "none",
            ("Ingress", "uses-secret-expired"),
        ),
        _of("secret-missing", missing, "secret-not-found", "spec.tls[0].secretName", default),
    ]


def _secret(name: str, built: Object, code: str, effect: str) -> Broken:
    return _of(name, built, code, "data", effect, ("Secret", name))


def certificate_users() -> list[Object]:
    """Ingresses that are all right, but for the Secret."""
    return [
        ingress(f"uses-{name}", (f"{name}.good.test", "/", "Prefix", "app"),
                tls=[{"hosts": [f"{name}.good.test"], "secretName": name}], annotations={"ssl-redirect": "false"})
        for name in ("secret-mismatch", "secret-unreadable", "secret-empty", "secret-expired")
    ]  # fmt: skip


def _files() -> list[Broken]:
    text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: torn\nspec: ["
    return [
        _of("file-torn", text, "object-unreadable", "", "object-ignored", ("File", "file-torn.yaml")),
        _of("file-binary", "\x01\x02", "object-unreadable", "", "object-ignored", ("File", "file-binary.yaml")),
    ]
