"""Renders the chart with helm, as an installation would."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from e2e.controlplane import build

CHART = Path(__file__).parents[2] / "charts" / "headrace"
EXPOSURES = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")))

Object = dict[str, Any]


class Refused(Exception):
    """Helm did not render it; the message is helm's own."""


def helm(*arguments: str) -> str:
    """What helm printed. Raises `Refused`."""
    command = [str(build.binaries(("helm",)) / "helm"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def template(
    *settings: str, values: Sequence[Path] = (), release: str = "headrace", namespace: str = "headrace"
) -> str:
    """The manifests. `settings` are of the form that `helm --set` takes. Raises `Refused`."""
    given = [f"--values={path}" for path in values] + [f"--set={each}" for each in settings]
    return helm("template", release, str(CHART), f"--namespace={namespace}", *given)


def render(*settings: str, values: Sequence[Path] = (), **where: str) -> list[Object]:
    """The manifests as objects, in the order of helm."""
    return [each for each in yaml.safe_load_all(template(*settings, values=values, **where)) if each]


def exposure(name: str) -> Path:
    """A values file of `charts/headrace/ci`."""
    return CHART / "ci" / f"{name}-values.yaml"


def rights(*settings: str) -> list[Object]:
    """The namespace, the account and its rights alone, for a controller that runs outside of the chart."""
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "headrace"}}
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    return [namespace, *(each for each in render(*settings) if each["kind"] in kinds)]
