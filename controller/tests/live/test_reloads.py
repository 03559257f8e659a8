"""When nginx is reloaded, and when not: seldom, for a reason that is told, never for what makes no difference."""

from __future__ import annotations

import copy
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress

QUIET = 0.8
"""Seconds after which a change that reloads would have done so."""


@pytest.fixture(scope="module")
def objects(backends: Backends) -> list[Object]:
    return [
        ingress("app", ("app.test", "/", "Prefix", "app"), annotations={"ssl-redirect": "false"}),
        ingress("wild", ("*.wild.test", "/x", "Exact", "app")),
        *app("app", backends.start("app")),
    ]


@pytest.fixture(scope="module")
def headrace(run: Run, objects: list[Object]) -> Iterator[Headrace]:
    yield run(*objects, flags=("--reload-interval", "1", "--reload-burst", "1", *CONFIGMAP))


def reasons(headrace: Headrace) -> Counter[str]:
    """Reloads by cause, from the metric."""
    text = headrace.ask_health("/metrics").body.decode()
    found = re.findall(r'^headrace_reloads_total\{reason="([a-z-]+)"\} (\d+)', text, re.MULTILINE)
    return Counter({reason: int(float(number)) for reason, number in found})


def logged(headrace: Headrace) -> Counter[str]:
    """The same from the log."""
    lines = [line for line in headrace.log.read_text().splitlines() if line.startswith("{")]
    return Counter(line["reload_reason"] for line in map(json.loads, lines) if line.get("reload_reason"))


def test_a_burst_makes_few_reloads(headrace: Headrace) -> None:
    before = reasons(headrace).total()
    begun = time.monotonic()
    for number in range(100):
        headrace.write(
            f"burst{number % 10}.yaml", ingress(f"burst{number % 10}", (f"b{number}.test", "/", "Prefix", "app"))
        )
        time.sleep(0.015)
    headrace.until(lambda: headrace.get("http://b99.test/").status == 200)
    took = time.monotonic() - begun
    time.sleep(QUIET)
    reloads = reasons(headrace).total() - before
    print(f"100 changes of Ingresses in {took:.1f} s: {reloads} reloads")
    assert reloads <= took + 2
    assert [headrace.get(f"http://b{n}.test/").status for n in (0, 89, 90, 99)] == [404, 404, 200, 200]


def harmless(objects: list[Object]) -> dict[str, list[Object]]:
    """Changes that make no difference to traffic."""

    def with_(**metadata: object) -> list[Object]:
        changed = copy.deepcopy(objects)
        for one in changed:
            one["metadata"].update(copy.deepcopy(metadata))
        return changed

    annotated, status, foreign = (copy.deepcopy(objects) for _ in range(3))
    annotated[0]["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    status[0]["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    foreign.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"a": "b"}})
    foreign.append({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {}})
    return {
        "rewritten": objects,
        "other order": objects[::-1],
        "versions": with_(resourceVersion="7", generation=3, managedFields=[{"manager": "x"}]),
        "labels": with_(labels={"kubernetes.io/service-name": "app", "team": "x"}),
        "an annotation of others": annotated,
        "status": status,
        "objects of others": foreign,
    }


def test_what_makes_no_difference_makes_no_reload(headrace: Headrace, objects: list[Object]) -> None:
    before, nginx = reasons(headrace), (headrace.directory / "state" / "current").resolve()
    for name, changed in harmless(objects).items():
        headrace.write("objects.yaml", *changed)
        time.sleep(QUIET if name == "status" else 0.25)
        assert reasons(headrace) == before, name
    headrace.write("objects.yaml", *objects)
    time.sleep(QUIET)
    assert reasons(headrace) == before
    assert (headrace.directory / "state" / "current").resolve() == nginx


def test_every_reload_has_a_cause(headrace: Headrace) -> None:
    new = ("new.test", "/", "Prefix", "app")

    def change(cause: str, *documents: Object, file: str = "new.yaml") -> None:
        before = reasons(headrace)
        headrace.write(file, *documents)
        headrace.until(lambda: reasons(headrace) != before)
        assert reasons(headrace) - before == Counter({cause: 1})

    change("host-added", ingress("new", new))
    change("routes", ingress("new", new, ("new.test", "/more", "Exact", "app")))
    change("host-removed")
    change("settings", configmap(use_gzip="true"), file="settings.yaml")
    assert logged(headrace) == reasons(headrace)
    assert reasons(headrace)["start"] == 1


def test_an_endpoint_changes_nothing_of_the_files(headrace: Headrace, objects: list[Object]) -> None:
    before = reasons(headrace)
    headrace.write("objects.yaml", *objects[:-1])
    headrace.until(lambda: headrace.get("http://app.test/").status == 503, 3)
    headrace.write("objects.yaml", *objects)
    headrace.until(lambda: headrace.get("http://app.test/").status == 200, 3)
    assert reasons(headrace) == before


def test_the_same_objects_make_the_same_files(headrace: Headrace, objects: list[Object]) -> None:
    state = headrace.directory / "state"
    before = files(state / "current")
    headrace.stop()
    shutil.rmtree(state / "generations")
    (state / "last-good").unlink()
    headrace.write("objects.yaml", *objects[::-1])
    headrace.start()
    assert files(state / "current") == before
    headrace.stop(kill=True)
    headrace.start()
    assert files(state / "current") == before and reasons(headrace).total() == 0


def files(generation: Path) -> dict[str, str]:
    found = (path for path in generation.rglob("*") if path.is_file() and path.name != "generation.conf")
    return {str(path.relative_to(generation)): path.read_text() for path in found}
