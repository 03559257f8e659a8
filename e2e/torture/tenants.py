"""What a tenant who means harm brings into the cluster: objects that are many, huge, wrong, or never the same.

Each attack gives objects for a size; all of them stand in one namespace, and their hosts end in `.evil.test`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle

from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, ingress, key_pair, service, slice_at

NAMESPACE = "evil"
Attack = Callable[[int], list[Object]]


def put(headrace: Headrace, name: str, objects: list[Object]) -> None:
    """All of them at once, in the place of those that this file held before. JSON: YAML takes a minute for so many."""
    temporary = headrace.directory / f"{name}.new"
    temporary.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    temporary.rename(headrace.manifests / f"{name}.json")


def away(headrace: Headrace, name: str) -> None:
    (headrace.manifests / f"{name}.json").unlink(missing_ok=True)


def evil(name: str, *rules: tuple[str, str, str, str], **more: object) -> Object:
    return ingress(name, *rules, namespace=NAMESPACE, **more)  # type: ignore[arg-type]


def _hosts(number: int) -> str:
    return f"h{number}.evil.test"


def broken(count: int) -> list[Object]:
    """Ingresses of which each is wrong in another way."""
    faults = cycle(_faults())
    return [_wrong(number, next(faults)) for number in range(count)]


def _wrong(number: int, fault: Mapping[str, object]) -> Object:
    built = evil(f"broken-{number}", (_hosts(number), f"/{number}", "Prefix", "nobody"))
    rule = built["spec"]["rules"][0]
    path = rule["http"]["paths"][0]
    targets = {"host": rule, "spec": built["spec"], "annotations": built["metadata"], "metadata": built["metadata"]}
    for where, value in fault.items():
        if where in ("spec", "metadata"):
            assert isinstance(value, dict)
            targets[where].update(value)
        else:
            targets.get(where, path)[where] = value
    return built


def _faults() -> Iterator[Mapping[str, object]]:
    yield {"host": "not a host;"}
    yield {"host": "a" * 300}
    yield {"path": "/{}"}
    yield {"path": "relative"}
    yield {"path": '/"; return 200; #'}
    yield {"pathType": "Nonsense"}
    yield {"spec": {"rules": "none"}}
    yield {"spec": {"rules": [{"http": {"paths": [{}]}}]}}
    yield {"spec": {"tls": [{"secretName": "missing"}, {"hosts": [1, 2]}]}}
    yield {"backend": {"service": {"name": "nobody", "port": {"number": 99999}}}}
    yield {"backend": {"resource": {"kind": "Bucket", "name": "x"}}}
    for name, value in (
        ("auth-type", "basic"), ("auth-url", "http://127.0.0.1/"), ("whitelist-source-range", "300.1.1.1/64"),
        ("configuration-snippet", "return 200;"), ("rewrite-target", "/$9\n"), ("limit-rps", "-1"), ("canary",
        "perhaps"),
        ("proxy-body-size", "1zb"), ("server-alias", ";{}"), ("auth-tls-secret", "evil/missing"), ("unheard-of", "x"),
    ):  # fmt: skip
        yield {"annotations": {f"nginx.ingress.kubernetes.io/{name}": value}}


def annotations_of_a_megabyte(count: int) -> list[Object]:
    """The API server takes 256 KiB; a manifest may hold more."""
    long = {
        "server-alias": ",".join(f"{number:040d}.evil.test" for number in range(20_000)),
        "whitelist-source-range": ",".join(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in range(60_000)),
        "unknown": "x" * 1_000_000,
        "configuration-snippet": "more_set_headers 'X: y';\n" * 40_000,
        "auth-url": "http://auth.evil.test/" + "a" * 1_000_000,
        "rewrite-target": "/$1" * 330_000,
        "cors-allow-origin": ",".join(f"https://{number}.evil.test" for number in range(40_000)),
    }
    names = cycle(long)
    made = []
    for number in range(count):
        name = next(names)
        made.append(evil(f"big-{number}", (_hosts(number), "/", "Prefix", "pod"), annotations={name: long[name]}))
    return made


EXPLOSIVE = (
    "/(a+)+b", "/(a|aa)+b", "/(?<x>a+)+b", "/(?:a{1,20}){1,20}b", "/(?i)(a+)+b", "/(?=(a+)+b)a", "/(?>x|(a+)+b)",
    "/a*a*a*a*a*a*a*a*a*a*b", "/[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*X", "/\\w+\\w+\\w+\\w+\\w+\\w+\\w+\\w+!",
    "/" + "a?" * 26 + "a" * 26 + "$", "/.*a.*a.*a.*a.*a.*a!", "/(.*)(.*)(.*)(.*)(.*)(.*)!", "/(?:(a+)|b)+c",
    "/(?R)?a", "/(a+)\\1+b",
    "/((a{0,15}){0,15}){0,15}b", "/(?|(a+)|(a+))+b", "/[[:alpha:]]*[[:alpha:]]*[[:alpha:]]*[[:alpha:]]*!",
    "/(a+(?1)?)+b",
)  # fmt: skip
"""Regular expressions that a backtracking matcher may need for ever for; the path to ask for is `SLOW`."""

SLOW = "/" + "a" * 300 + "!/bcX"


def regexes(count: int) -> list[Object]:
    """Each expression on a host of its own, then many of them on one host."""
    found = []
    for number in range(count):
        regex = EXPLOSIVE[number % len(EXPLOSIVE)]
        host = f"r{number}.evil.test" if number < len(EXPLOSIVE) else "all.evil.test"
        wanted = {"use-regex": "true"}
        rule = (host, regex + ("x" * (number // len(EXPLOSIVE))), "ImplementationSpecific", "pod")
        found.append(evil(f"regex-{number}", rule, annotations=wanted))
    return found


def paths(count: int) -> list[Object]:
    """Thousands of paths on one host, as many in one Ingress as it may have."""
    return [
        evil(f"paths-{start}", *((_hosts(0), f"/p{number}", "Prefix",
        "pod") for number in range(start, min(start + 2000, count))))
        for start in range(0, count, 2000)
    ]  # fmt: skip


def hosts(count: int) -> list[Object]:
    """Thousands of hosts of one Ingress."""
    return [
        evil(f"hosts-{start}", *((_hosts(number), "/", "Prefix",
        "pod") for number in range(start, min(start + 2000, count))))
        for start in range(0, count, 2000)
    ]  # fmt: skip


def aliases(count: int) -> list[Object]:
    """Names of one host; an annotation of the API server has room for about 10,000."""
    names = ",".join(f"alias-{number}.evil.test" for number in range(count))
    return [evil("aliases", (_hosts(0), "/", "Prefix", "pod"), annotations={"server-alias": names})]


def limits(count: int) -> list[Object]:
    """Each wants three zones of shared memory."""
    wanted = {"limit-rps": "100", "limit-rpm": "1000", "limit-connections": "50"}
    return [evil(f"limit-{n}", (_hosts(n), "/", "Prefix", "pod"), annotations=wanted) for n in range(count)]


def sign_ins(count: int) -> list[Object]:
    """Each with a Secret of users, and a list of 200 of them."""
    users = "".join(f"user{number}:$apr1$abcdefgh$0123456789abcdefghijk.\n" for number in range(200))
    made = []
    for number in range(count):
        wanted = {"auth-type": "basic", "auth-secret": f"users-{number}"}
        made.append(evil(f"auth-{number}", (_hosts(number), "/", "Prefix", "pod"), annotations=wanted))
        made.append(_secret(f"users-{number}", auth=(users + f"# {number}\n").encode()))
    return made


def dialects(count: int) -> list[Object]:
    """Services that are spoken to in many ways: each way is an upstream, and a question to the DNS responder."""
    ways = ("HTTP", "HTTPS", "GRPC", "GRPCS", "FCGI")
    made: list[Object] = []
    for number in range(count):
        made += [
            service(f"many-{number}", NAMESPACE),
            slice_at(f"many-{number}", ("127.0.0.1", 9), namespace=NAMESPACE),
        ]
        for way in ways:
            rule = (_hosts(number), f"/{way}", "Prefix", f"many-{number}")
            made.append(evil(f"way-{number}-{way.lower()}", rule, annotations={"backend-protocol": way}))
    return made


def longest_names(count: int) -> list[Object]:
    """Names, hosts and paths as long as Kubernetes takes them."""
    made = []
    for number in range(count):
        host = ".".join([f"{number:063d}", "a" * 63, "b" * 63, "c" * 50, "evil.test"])[:253]
        name = f"{number:05d}" + "n" * 248
        made.append(
            evil(name, (host, "/" + "p" * 3000 + str(number), "Prefix", "s" * 63), (host, "/x", "Exact", "pod"))
        )
    return made


def broken_secrets(count: int) -> list[Object]:
    """Each host wants a certificate, and each Secret is wrong in another way."""
    chain, key = key_pair("*.evil.test")
    other = key_pair("*.evil.test")[1]
    kinds = cycle(
        [(b"", b""), (chain, other), (chain[:300], key), (b"\xff" * 3000, key), (chain, b""), (chain * 30, key[:90])]
    )
    made = []
    for number in range(count):
        tls = [{"hosts": [_hosts(number)], "secretName": f"tls-{number}"}]
        made.append(evil(f"tls-{number}", (_hosts(number), "/", "Prefix", "pod"), tls=tls))
        crt, private = next(kinds)
        made.append(_secret(f"tls-{number}", "kubernetes.io/tls", **{"tls.crt": crt, "tls.key": private}))
    return made


def _secret(name: str, kind: str = "Opaque", **data: bytes) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": encoded}


ATTACKS: Mapping[str, tuple[Attack, int, int]] = {
    "broken objects": (broken, 1000, 5000),
    "annotations of a megabyte": (annotations_of_a_megabyte, 7, 21),
    "regexes": (regexes, 60, 400),
    "paths": (paths, 2000, 10_000),
    "hosts": (hosts, 1000, 10_000),
    "aliases": (aliases, 1000, 8000),
    "limits": (limits, 150, 2000),
    "sign-ins": (sign_ins, 100, 1000),
    "dialects": (dialects, 60, 600),
    "longest names": (longest_names, 60, 300),
    "broken Secrets": (broken_secrets, 300, 3000),
}
"""The objects, how many of them in continuous integration, and how many otherwise."""
