"""What the tests of the image share: an engine that has the images, and pytest-docker told how to use it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.image.client import eventually, get
from e2e.image.container import Container, empty_dir, free_ports
from e2e.image.manifests import Manifests
from e2e.images import Engine, EngineUnavailable, Images, engine, load_images
from e2e.images.engine import install

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Served:
    """The container of compose.yaml, ready, and where it listens."""

    container: Container
    manifests: Manifests
    http: int
    https: int
    health: int


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These go first: others enter a network of their own, from which neither registry nor container can be reached."""
    items.sort(key=lambda item: HERE not in item.path.parents)


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """An engine that has the images under test."""
    with engine() as found:
        load_images(found)
        yield found


@pytest.fixture(scope="session")
def images(docker: Engine) -> Images:
    """Their names."""
    return load_images(docker)


@pytest.fixture(scope="session")
def docker_compose_command(docker: Engine) -> str:
    """The plug-in where it is there, else the program of Debian's package."""
    try:
        docker.run("compose", "version")
    except EngineUnavailable:
        if not shutil.which("docker-compose"):
            install("docker compose", ["docker-compose"])
        return "docker-compose"
    return f"{docker.client} compose"


@pytest.fixture(scope="session")
def docker_compose_file(compose_variables: dict[str, str]) -> str:
    """Its variables are set before it is read."""
    return str(HERE / "compose.yaml")


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    return ["up --detach"]


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Two hosts, one of them with TLS."""
    made = Manifests(tmp_path_factory.mktemp("image"), free_ports(1)[0])
    made.serve("plain.example.com")
    made.serve_tls("secure.example.com")
    return made


@pytest.fixture(scope="session")
def compose_variables(docker: Engine, manifests: Manifests) -> Iterator[dict[str, str]]:
    """What compose.yaml leaves open, and which engine is meant; compose reads both from the environment."""
    http, https, health = free_ports(3)
    variables = {
        "MANIFESTS": str(manifests.folder),
        "STATE": str(empty_dir(manifests.folder.parent)),
        "HTTP_PORT": str(http),
        "HTTPS_PORT": str(https),
        "HEALTH_PORT": str(health),
        "BACKEND_PORT": str(manifests.backend_port),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**variables, "DOCKER_HOST": docker.environment.get("DOCKER_HOST", "")}.items():
            if value:
                patch.setenv(name, value)
        yield variables


@pytest.fixture(scope="session")
def served(
    docker: Engine,
    docker_services: object,
    docker_compose_project_name: str,
    compose_variables: dict[str, str],
    manifests: Manifests,
) -> Served:
    """The image in manifests mode, ready."""
    label = "label=com.docker.compose"
    filters = ["--filter", f"{label}.project={docker_compose_project_name}", "--filter", f"{label}.service=headrace"]
    running = Container(docker, docker.run("ps", "--all", "--quiet", "--no-trunc", *filters).strip())
    ports = {name: int(value) for name, value in compose_variables.items() if name.endswith("_PORT")}
    try:
        eventually(lambda: get(ports["HEALTH_PORT"], "localhost", "/readyz"), 200)
    except (OSError, AssertionError) as fault:
        raise AssertionError(f"not ready: {fault}\n{running.log}") from fault
    return Served(running, manifests, ports["HTTP_PORT"], ports["HTTPS_PORT"], ports["HEALTH_PORT"])
