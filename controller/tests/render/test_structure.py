"""Whatever a user writes, in whatever field, it becomes a Diagnostic or a word: never a directive.

The oracle is crossplane, an nginx parser that shares no code with ours. A configuration rendered from hostile text
must parse into the same tree of directives as one in which every text of a user is replaced by a bland one.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import crossplane
import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.k8s.core import ConfigMap, Service
from controller.k8s.ingress import Ingress
from controller.model.configuration import Configuration, Location, MatchKind, PathMatch, Server
from controller.model.fragments import FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.model.options import Options
from controller.model.policy import Rewrite
from controller.model.refs import Kind, ObjectKey
from controller.render.fragments import Renderer
from controller.state.snapshot import Snapshot
from controller.translate.configmap import PARSERS
from controller.translate.translator import translate

LAYOUT = Layout(
    state_dir="/s",
    run_dir="/s/run",
    nginx=NginxBinary("nginx", (1, 31, 3), frozenset({"headers-more"})),
    resolvers=("127.0.0.1:53",),
    sentinel_port=9,
)
CONFIGMAP = ObjectKey(Kind.CONFIG_MAP, "ns", "settings")
ATTACKS = (
    '/x" { return 200 pwned; } location "/y',
    "/x;} server{listen 1;",
    "/x\n}\nserver {}\n",
    "/${hr_dollar}$request_uri",
    "/x\\",
    '/x\\"',
    "/#comment",
    "/x'y\"z",
    "/\u2028;\u2029",
    "/{{ main }}{% raw %}",
    "/a\x00b",
    "/é\u0301/\U0001f600",
    "/%0a}%00",
    "/x" * 3000,
)

hostile = st.one_of(
    st.text(max_size=40),
    st.sampled_from(ATTACKS),
    st.text(alphabet="{};\"'\\$#/ \n\r\tabc()[]*+?|^%0", max_size=30),
)
paths = st.one_of(hostile, hostile.map(lambda text: "/" + text))
hosts = st.one_of(hostile, st.just("a.example.com"), st.just("*.example.com"), st.just(""))
annotation_names = st.sampled_from(
    ["rewrite-target", "use-regex", "ssl-redirect", "auth-url", "server-snippet", "proxy-body-size", "x\n;{}"]
)


@st.composite
def ingresses(draw: st.DrawFn) -> dict[str, Any]:
    path_entries = [
        {
            "path": draw(paths),
            "pathType": draw(st.sampled_from(["Exact", "Prefix", "ImplementationSpecific", "x;"])),
            "backend": {"service": {"name": draw(st.sampled_from(["web", "no;pe"])), "port": {"number": 80}}},
        }
        for _ in range(draw(st.integers(1, 4)))
    ]
    annotations = draw(
        st.dictionaries(annotation_names, st.one_of(hostile, st.just("true"), st.just("/$1")), max_size=3)
    )
    return {
        "metadata": {
            "name": "attack",
            "namespace": "ns",
            "annotations": {f"nginx.ingress.kubernetes.io/{k}": v for k, v in annotations.items()},
        },
        "spec": {
            "tls": [{"hosts": [draw(hosts)], "secretName": draw(hostile)}],
            "rules": [{"host": draw(hosts), "http": {"paths": path_entries}}],
        },
    }


def snapshot_of(ingress: dict[str, Any], data: dict[str, str]) -> Snapshot:
    web = msgspec.convert(
        {"metadata": {"name": "web", "namespace": "ns"}, "spec": {"ports": [{"port": 80, "name": "http"}]}}, Service
    )
    configmap = ConfigMap(
        metadata=msgspec.convert({"name": "settings", "namespace": "ns"}, type(web.metadata)), data=data
    )
    return Snapshot(
        ingresses={ObjectKey(Kind.INGRESS, "ns", "attack"): msgspec.convert(ingress, Ingress)},
        services={ObjectKey(Kind.SERVICE, "ns", "web"): web},
        configmaps={CONFIGMAP: configmap},
    )


def configuration_of(ingress: dict[str, Any], data: dict[str, str] | None = None) -> Configuration:
    options = Options(manifests=True, configmap=CONFIGMAP)
    return translate(snapshot_of(ingress, data or {}), options, now=0).configuration


def bland(configuration: Configuration) -> Configuration:
    """The same configuration with every text that a user chose replaced by a harmless one."""

    def bland_location(number: int, location: Location) -> Location:
        kind, path = location.match
        rewrite = Rewrite("/r", "/t") if location.policy.rewrite else None
        match = PathMatch(kind, "/" if (kind, path) == (MatchKind.PREFIX, "/") else f"/p{number}")
        return replace(location, match=match, policy=replace(location.policy, rewrite=rewrite))

    def bland_server(number: int, server: Server) -> Server:
        exact = {loc.match.path for loc in server.locations if loc.match.kind is MatchKind.EXACT}
        texts = {path: index for index, path in enumerate(sorted({loc.match.path for loc in server.locations}))}
        assert exact <= texts.keys()
        locations = tuple(bland_location(texts[loc.match.path], loc) for loc in server.locations)
        host = server.host and ("*." if server.host.startswith("*.") else "") + f"h{number}.example"
        return replace(server, host=host, locations=locations)

    servers = [bland_server(number, server) for number, server in enumerate(configuration.servers.values())]
    return replace(configuration, servers={server.host: server for server in servers})


def skeleton_of(fragments: FragmentSet) -> list[Any]:
    """Names of directives, nested as they are; those of hosts in the order of what they are."""
    with tempfile.TemporaryDirectory() as directory:

        def tree_of(name: str) -> list[Any]:
            return _tree(parse(fragments.fragments[name].text, Path(directory)))

        hosts = sorted((tree_of(name) for name in fragments.fragments if name.startswith("servers/")), key=repr)
        return [tree_of("certificates.conf"), tree_of("nginx.conf"), tree_of("upstreams.conf"), *hosts]


def parse(text: str, directory: Path) -> list[dict[str, Any]]:
    target = directory / "f.conf"
    target.write_text(text)
    payload = crossplane.parse(str(target), single=True, strict=False, check_ctx=False, check_args=False)
    assert payload["status"] == "ok", payload["errors"]
    found: list[dict[str, Any]] = payload["config"][0]["parsed"]
    return found


def _tree(directives: list[dict[str, Any]], parent: str = "") -> list[Any]:
    """Entries of map and geo blocks are data, so only their number counts."""
    return [
        ("" if parent in ("map", "geo") else d["directive"], _tree(d.get("block", []), d["directive"]))
        for d in directives
        if d["directive"] != "#"
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ingresses())
@example(
    {
        "metadata": {"name": "attack", "namespace": "ns", "annotations": {}},
        "spec": {
            "tls": [],
            "rules": [
                {
                    "host": "a.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": attack,
                                "pathType": "ImplementationSpecific",
                                "backend": {"service": {"name": "web", "port": {"number": 80}}},
                            }
                            for attack in ATTACKS
                        ]
                    },
                }
            ],
        },
    }
)
def test_no_text_of_an_ingress_becomes_a_directive(ingress: dict[str, Any]) -> None:
    configuration = configuration_of(ingress)
    rendered = Renderer(LAYOUT).render(configuration)
    assert skeleton_of(rendered) == skeleton_of(Renderer(LAYOUT).render(bland(configuration)))


PREPARED = ("proxy_upstream_name", "location_path")
"""Variables that locations set only where a log format has them."""


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(PARSERS)), st.one_of(hostile, st.just("4")), max_size=6))
def test_no_value_of_the_configmap_becomes_a_directive(data: dict[str, str]) -> None:
    """Each key on its own may switch directives on; text itself never adds one."""
    configuration = configuration_of({"metadata": {"name": "attack", "namespace": "ns"}}, data)
    main = configuration.main
    texts: dict[str, Any] = {
        "log_format_upstream": " ".join(v for v in PREPARED if v in main.log_format_upstream) or "-",
        "ssl_ciphers": "HIGH",
        "forwarded_for_header": "X-Y",
        "access_log_path": main.access_log_path and "/dev/stdout",
    }
    plain = replace(configuration, main=replace(main, **texts))
    assert skeleton_of(Renderer(LAYOUT).render(configuration)) == skeleton_of(Renderer(LAYOUT).render(plain))


@given(
    st.sampled_from(ATTACKS)
    | st.text(alphabet=st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=60)
)
def test_a_path_reads_back_as_it_was_written(text: str) -> None:
    """What nginx will compare requests with is exactly the path of the Ingress."""
    paths_entry = {
        "path": "/" + text,
        "pathType": "ImplementationSpecific",
        "backend": {"service": {"name": "web", "port": {"number": 80}}},
    }
    configuration = configuration_of(
        {
            "metadata": {"name": "attack", "namespace": "ns"},
            "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [paths_entry]}}]},
        }
    )
    locations = configuration.servers["a.example.com"].locations
    rendered = Renderer(LAYOUT).render(configuration)
    with tempfile.TemporaryDirectory() as directory:
        parsed = parse(rendered.fragments["servers/a.example.com.conf"].text, Path(directory))
    arguments = [d["args"] for d in parsed[0]["block"] if d["directive"] == "location" and d["args"][0][:1] in "=/"]
    for location in locations:
        path = location.match.path.replace("\\", "\\\\")  # crossplane leaves a doubled backslash doubled
        assert (["=", path] in arguments and [path + "/"] in arguments) or (path == "/" and ["/"] in arguments)
