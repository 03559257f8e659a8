"""Which annotations and keys name a Secret or a ConfigMap.

The first build of a start waits for those, so that a route that needs its Secret does not answer 503 until that was
looked for. Later builds learn the same from `References`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.model.refs import Kind, ObjectKey
from controller.translate.resources import split_reference

ANNOTATIONS = {
    "auth-secret": Kind.SECRET,
    "auth-tls-secret": Kind.SECRET,
    "proxy-ssl-secret": Kind.SECRET,
    "auth-proxy-set-headers": Kind.CONFIG_MAP,
    "custom-headers": Kind.CONFIG_MAP,
    "fastcgi-params-configmap": Kind.CONFIG_MAP,
}
KEYS = {
    "add-headers": Kind.CONFIG_MAP,
    "proxy-set-headers": Kind.CONFIG_MAP,
    "ssl-dh-param": Kind.SECRET,
}


def objects_named_by(annotations: Mapping[str, str], namespace: str, prefix: str) -> frozenset[ObjectKey]:
    """Objects that the annotations of one Ingress name, wherever they are."""
    named = ((kind, annotations.get(f"{prefix}/{name}", "")) for name, kind in ANNOTATIONS.items())
    return frozenset(_keys(named, namespace))


def objects_named_in(data: Mapping[str, str], namespace: str) -> frozenset[ObjectKey]:
    """Objects that the controller's ConfigMap names."""
    return frozenset(_keys(((kind, data.get(name, "")) for name, kind in KEYS.items()), namespace))


def _keys(named: Iterator[tuple[Kind, str]], namespace: str) -> Iterator[ObjectKey]:
    for kind, text in named:
        try:
            where, name = split_reference(text.strip(), namespace)
        except ValueError:
            continue
        yield ObjectKey(kind, where, name)
