"""What is configured on both sides: hosts, paths and protocol, as one value that both are written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller.tests.live.objects import Object, ingress, service, slice_at, tls_secret

DOMAIN = "bench.test"
ENDLESS = 1_000_000
"""Requests on one connection of HTTP/2, for both sides: h2load does not open another. The most that ours takes."""


@dataclass(frozen=True)
class Shape:
    """`hosts` many hosts, each with its own Service; each has `paths`, which are prefixes or, `regex`, patterns."""

    count: int = 1
    paths: tuple[str, ...] = ("/",)
    regex: bool = False
    grpc: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        return ("localhost", *(f"h{number}.{DOMAIN}" for number in range(1, self.count)))

    @property
    def asked(self) -> tuple[str, ...]:
        """At most 64 hosts, from everywhere in the configuration: each of both sides' backends keeps connections."""
        return self.hosts[:: max(self.count // 64, 1)][:64]

    def objects(self, pair: tuple[bytes, bytes], backend: tuple[int, int]) -> Iterator[Object]:
        """The Kubernetes objects of it; plain HTTP is not redirected, since it is measured too."""
        annotations = {"ssl-redirect": "false"}
        annotations |= {"backend-protocol": "GRPC"} if self.grpc else {}
        annotations |= {"use-regex": "true"} if self.regex else {}
        kind = "ImplementationSpecific" if self.regex else "Prefix"
        yield tls_secret("tls", pair)
        for number, host in enumerate(self.hosts):
            name = f"app{number}"
            rules = [(host, path, kind, name) for path in self.paths]
            tls = [{"hosts": [host], "secretName": "tls"}]
            yield ingress(name, *rules, annotations=annotations, tls=tls)
            yield service(name)
            yield slice_at(name, ("127.0.0.1", backend[1] if self.grpc else backend[0]))


def many_paths(count: int = 500, regex: bool = False) -> Shape:
    """One host of many paths; the last is asked, which is the worst place among patterns."""
    pattern = "/v{}/[a-z]+" if regex else "/v{}/items"
    return Shape(paths=tuple(pattern.format(number) for number in range(count)), regex=regex)
