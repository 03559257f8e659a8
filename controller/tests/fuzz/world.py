"""The objects of a fuzz test: a cluster of one team in which everything that an annotation may name exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from controller.k8s.core import ConfigMap, Secret, Service
from controller.k8s.ingress import Ingress
from controller.k8s.meta import ObjectMeta
from controller.model.layout import Layout, NginxBinary
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.state.snapshot import Snapshot
from controller.tests.live.objects import key_pair

CONFIGMAP = ObjectKey(Kind.CONFIG_MAP, "ns", "settings")
TCP, UDP = ObjectKey(Kind.CONFIG_MAP, "ns", "tcp"), ObjectKey(Kind.CONFIG_MAP, "ns", "udp")
OPTIONS = Options(
    manifests=True,
    configmap=CONFIGMAP,
    tcp_services_configmap=TCP,
    udp_services_configmap=UDP,
    enable_ssl_passthrough=True,
)
LAYOUT = Layout(
    state_dir="/s",
    run_dir="/s/run",
    nginx=NginxBinary("nginx", (1, 31, 3), frozenset({"headers-more"})),
    resolvers=("127.0.0.1:53",),
    sentinel_port=9,
)
PATH_TYPES = ("Prefix", "Exact", "ImplementationSpecific")


def ingress_of(number: int, host: str, paths: Sequence[tuple[str, str]], annotations: Mapping[str, str]) -> Ingress:
    """Each path is its text and its pathType."""
    backend = {"service": {"name": ("web", "api", "outside")[number % 3], "port": {"number": 80}}}
    entries = [{"path": path, "pathType": path_type, "backend": backend} for path, path_type in paths]
    return msgspec.convert(
        {
            "metadata": {
                "name": f"i{number}",
                "namespace": "team",
                "creationTimestamp": f"2024-01-0{number + 1}T00:00:00Z",
                "annotations": {
                    name if "/" in name else f"nginx.ingress.kubernetes.io/{name}": text
                    for name, text in annotations.items()
                },
            },
            "spec": {
                "tls": [{"hosts": [host], "secretName": "pair"}] if number % 2 else [],
                "rules": [{"host": host, "http": {"paths": entries}}],
            },
        },
        Ingress,
    )


def snapshot_of(
    ingresses: Sequence[Ingress], settings: Mapping[str, str], headers: Mapping[str, str], streams: Mapping[str, str]
) -> Snapshot:
    secrets, services = _surroundings()
    maps = {"headers": dict(headers), "params": dict(headers)}
    configmaps = {
        ObjectKey(Kind.CONFIG_MAP, "team", name): ConfigMap(metadata=ObjectMeta(name=name, namespace="team"), data=data)
        for name, data in maps.items()
    }
    for key in (TCP, UDP):
        configmaps[key] = ConfigMap(metadata=ObjectMeta(name=key.name, namespace="ns"), data=dict(streams))
    configmaps[CONFIGMAP] = ConfigMap(metadata=ObjectMeta(name="settings", namespace="ns"), data=dict(settings))
    return Snapshot(
        ingresses={ObjectKey(Kind.INGRESS, "team", i.metadata.name): i for i in ingresses},
        services=services,
        secrets=secrets,
        configmaps=configmaps,
    )


@cache
def _surroundings() -> tuple[dict[ObjectKey, Secret], dict[ObjectKey, Service]]:
    chain, key = key_pair("a.example.com", "*.example.com")
    contents: dict[str, dict[str, bytes]] = {
        "users": {"auth": b"alice:$apr1$abcdefgh$AAAAAAAAAAAAAAAAAAAAA.\n"},
        "map-users": {"alice": b"$apr1$abcdefgh$AAAAAAAAAAAAAAAAAAAAA."},
        "ca": {"ca.crt": chain},
        "pair": {"tls.crt": chain, "tls.key": key, "ca.crt": chain},
    }
    secrets = {
        ObjectKey(Kind.SECRET, "team", name): Secret(
            metadata=ObjectMeta(name=name, namespace="team"), data={k: SecretBytes(v) for k, v in data.items()}
        )
        for name, data in contents.items()
    }
    ports = [{"port": 80, "name": "http"}]
    specs: dict[str, dict[str, Any]] = {
        "web": {"ports": ports},
        "api": {"ports": ports, "clusterIP": "10.96.0.7"},
        "outside": {"type": "ExternalName", "externalName": "www.example.org", "ports": ports},
    }
    services = {
        ObjectKey(Kind.SERVICE, "team", name): msgspec.convert(
            {"metadata": {"name": name, "namespace": "team"}, "spec": spec}, Service
        )
        for name, spec in specs.items()
    }
    return secrets, services
