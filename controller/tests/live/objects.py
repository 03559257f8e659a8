"""Short builders of Kubernetes objects for live tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from controller.tests.live.backends import Backend

Object = dict[str, Any]


def ingress(
    name: str,
    *rules: tuple[str, str, str, str] | tuple[str, str, str, str, int | str],
    namespace: str = "default",
    annotations: dict[str, str] | None = None,
    tls: list[Object] | None = None,
    default: str | None = None,
    created: str | None = None,
    **spec: Any,
) -> Object:
    """Each rule is (host, path, pathType, service[, port])."""
    built: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec),
    }
    if annotations:
        built["metadata"]["annotations"] = {
            (key if "/" in key else f"nginx.ingress.kubernetes.io/{key}"): value for key, value in annotations.items()
        }
    if created:
        built["metadata"]["creationTimestamp"] = created
    if tls:
        built["spec"]["tls"] = tls
    if default:
        built["spec"]["defaultBackend"] = backend_of(default, 80)
    if rules:
        built["spec"]["rules"] = [_rule(*rule) for rule in rules]
    return built


def _rule(host: str, path: str, path_type: str, service: str, port: int | str = 80) -> Object:
    entry = {"path": path, "pathType": path_type, "backend": backend_of(service, port)}
    return {**({"host": host} if host else {}), "http": {"paths": [entry]}}


def backend_of(service: str, port: int | str) -> Object:
    key = "number" if isinstance(port, int) else "name"
    return {"service": {"name": service, "port": {key: port}}}


def service(name: str, namespace: str = "default", port: int = 80, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"name": "http", "port": port, "targetPort": 8080}], **spec},
    }


def slice_of(
    name: str, *backends: Backend, namespace: str = "default", suffix: str = "1", **conditions: bool
) -> Object:
    """One EndpointSlice; all backends share the port of the first, unless there are none."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{suffix}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv6" if backends and ":" in backends[0].host else "IPv4",
        "endpoints": [{"addresses": [b.host], "conditions": {"ready": True, **conditions}} for b in backends],
        "ports": [{"name": "http", "port": backends[0].port if backends else 8080, "protocol": "TCP"}],
    }


def slice_at(
    name: str, *places: tuple[str, int] | Object, port: int | None = None, namespace: str = "default", suffix: str = "1"
) -> Object:
    """One EndpointSlice of (address, port), or of endpoints written out, whose port is `port`."""
    found = next((place[1] for place in places if isinstance(place, tuple)), port or 8080)
    built = slice_of(name, namespace=namespace, suffix=suffix)
    built["endpoints"] = [{"addresses": [p[0]]} if isinstance(p, tuple) else p for p in places]
    built["ports"][0]["port"] = found
    if any(":" in address for endpoint in built["endpoints"] for address in endpoint["addresses"]):
        built["addressType"] = "IPv6"
    return built


def app(name: str, *backends: Backend, namespace: str = "default") -> list[Object]:
    """A Service and its EndpointSlice."""
    return [service(name, namespace), slice_of(name, *backends, namespace=namespace)]


CONFIGMAP = ("--configmap", "default/settings")
"""Flags that make the controller read the object of `configmap`."""


def configmap(**keys: str) -> Object:
    """The controller's ConfigMap; write `use_gzip="true"` for the key `use-gzip`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"},
        "data": {key.replace("_", "-"): value for key, value in keys.items()},
    }


def key_pair(*names: str, kind: str = "ec", days: int = 90, common_name: str = "test") -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65_537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def issued_pair(*names: str) -> tuple[tuple[bytes, bytes], bytes]:
    """A leaf with its intermediate (leaf first) and the leaf's key; and the root that a client would trust. PEM."""
    root_key, middle_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = _issue("root", root_key, "root", root_key, authority=True)
    middle = _issue("middle", middle_key, "root", root_key, authority=True)
    leaf = _issue("leaf", leaf_key, "middle", middle_key, names=names)
    private = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (leaf + middle, private), root


def _issue(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    names: tuple[str, ...] = (),
    authority: bool = False,
) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def tls_secret(name: str, pair: tuple[bytes, bytes], namespace: str = "default") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": base64.b64encode(pair[0]).decode(),
            "tls.key": base64.b64encode(pair[1]).decode(),
        },
    }
