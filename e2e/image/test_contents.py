"""What is in the image, and what is not."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from e2e.images import Engine, Images
from e2e.images.release import build_sbom

MOST_MEGABYTES = 140
OURS = ("var/lib/headrace", "tmp")
NOT_FOR_RUNNING = re.compile(
    r"(^|/)(sh|bash|dash|busybox|apt|apt-get|dpkg|pip3?|ensurepip|cc|gcc|ld|make|perl|curl|wget|setcap|su|mount)$"
    r"|/(pip|setuptools|wheel|hatchling)/|/site-packages/controller/tests/|/include/|\.(a|h|c|pyx)$"
)


@pytest.fixture(scope="module")
def files(docker: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tarfile.TarInfo]:
    """Every entry of the image's root, by its path without a slash in front."""
    created = docker.run("create", images.headrace).strip()
    packed = tmp_path_factory.mktemp("contents") / "root.tar"
    try:
        docker.run("export", "--output", str(packed), created)
    finally:
        docker.run("rm", created)
    with tarfile.open(packed) as archive:
        return {entry.name.rstrip("/"): entry for entry in archive}


@pytest.fixture(scope="module")
def settings(docker: Engine, images: Images) -> dict[str, Any]:
    """As `docker image inspect` tells them."""
    (found,) = json.loads(docker.run("image", "inspect", images.headrace))
    return dict(found)


@pytest.fixture(scope="module")
def bill(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The bill of materials that `make sbom` writes."""
    written = build_sbom(docker, "wheel", tmp_path_factory.mktemp("sbom"))
    return dict(json.loads(written.read_text()))


def test_nothing_is_there_that_is_not_needed_to_run(files: dict[str, tarfile.TarInfo]) -> None:
    notes = ("var/lib/dpkg", "usr/share/doc")
    assert [name for name in files if NOT_FOR_RUNNING.search(name) and not name.startswith(notes)] == []


def test_no_program_gains_rights_and_nothing_can_be_overwritten(files: dict[str, tarfile.TarInfo]) -> None:
    assert [name for name, entry in files.items() if entry.mode & 0o6000] == []
    places = {name: entry for name, entry in files.items() if entry.isdir() or entry.isfile()}
    writable = [name for name, entry in places.items() if entry.uid == 101 or entry.mode & 0o002]
    assert sorted(writable) == sorted(OURS)


def test_byte_code_is_there_and_is_never_compared(docker: Engine, images: Images) -> None:
    """A read-only root could not keep it; flags 1 mean: by hash, unchecked (PEP 552)."""
    program = (
        "import controller.app, asyncio, kubernetes, pathlib, sys\n"
        "files = {m.__cached__ for m in list(sys.modules.values()) if getattr(m, '__cached__', None)}\n"
        "print({int.from_bytes(pathlib.Path(f).read_bytes()[4:8], 'little') for f in files}, len(files) > 300)"
    )
    assert run_python(docker, images, program) == "{1} True"


def run_python(docker: Engine, images: Images, program: str) -> str:
    options = ("--rm", "--network", "host", "--read-only", "--cap-drop", "ALL", "--entrypoint", "python")
    return docker.run("run", *options, images.headrace, "-c", program).strip()


def test_it_says_what_it_is(settings: dict[str, Any]) -> None:
    config = settings["Config"]
    assert config["User"] == "101:101"
    assert config["Entrypoint"] == ["headrace"]
    assert config["Cmd"] == ["run"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == "Headrace"
    assert labels["licenses"] == "Apache-2.0"
    assert {"version", "revision", "description"} <= labels.keys()


def test_it_is_small(settings: dict[str, Any]) -> None:
    assert settings["Size"] / 1e6 < MOST_MEGABYTES


def test_it_has_no_trace_of_where_it_was_built(docker: Engine, images: Images, settings: dict[str, Any]) -> None:
    told = docker.run("history", "--no-trunc", images.headrace) + json.dumps(settings["Config"])
    assert not re.search(r"ca-bundle|pip-config|index-url|proxy=", told, re.IGNORECASE)


def test_the_bill_lists_every_python_package(docker: Engine, images: Images, bill: dict[str, Any]) -> None:
    program = "from importlib.metadata import distributions as d\nfor x in d(): print(x.name, x.version)"
    installed = {normal(line) for line in run_python(docker, images, program).splitlines()}
    listed = {normal(f"{part['name']} {part['version']}") for part in bill["components"]}
    assert len(installed) > 20
    assert installed <= listed


def normal(line: str) -> str:
    return line.lower().replace("_", "-")


def test_the_bill_lists_every_debian_package(files: dict[str, tarfile.TarInfo], bill: dict[str, Any]) -> None:
    kept = {Path(name).name for name in files if name.startswith("var/lib/dpkg/status.d/")}
    listed = {part["name"] for part in bill["components"] if part.get("purl", "").startswith("pkg:deb/debian/")}
    assert kept == listed
    assert {"libc6", "ca-certificates"} <= kept
    assert any(name.startswith("libssl3") for name in kept)
    notices = {name.split("/")[3] for name in files if re.fullmatch(r"usr/share/doc/[^/]+/copyright", name)}
    assert kept - notices == set()


def test_the_bill_names_nginx_for_scanners(bill: dict[str, Any]) -> None:
    (nginx,) = (part for part in bill["components"] if part["name"] == "nginx")
    assert nginx["version"] == "1.31.3"
    assert nginx["cpe"].startswith("cpe:2.3:a:f5:nginx:1.31.3:")
    assert bill["metadata"]["component"]["type"] == "container"
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
