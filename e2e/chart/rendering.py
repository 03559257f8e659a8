"""Renders the chart with helm, as an installation would."""

from __future__ import annotations

import subprocess
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from e2e.controlplane import build

CHART = Path(__file__).parents[2] / "charts" / "headrace"
EXPOSURES = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")))
INGRESS_NGINX = Path(__file__).parent / "ingress-nginx-values.yaml"
"""What a production installation of ingress-nginx had set."""
INGRESS_NGINX_EVERYTHING = Path(__file__).parent / "ingress-nginx-every-value.yaml"
INGRESS_NGINX_DEFAULTS = CHART / "ingress-nginx.yaml"

Object = dict[str, Any]


class Refused(Exception):
    """Helm did not render it; the message is helm's own."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice: helm lets it through, and which of both counts is chance."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


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
    text = template(*settings, values=values, **where)
    return [each for each in yaml.load_all(text, _Loader) if each]


def by_name(objects: Sequence[Object], kind: str, name: str = "") -> Object:
    """The first object of a kind, or the one of this name."""
    return next(each for each in objects if each["kind"] == kind and name in ("", each["metadata"]["name"]))


def container_of(objects: Sequence[Object]) -> Object:
    """The container of the controller."""
    workloads = [each for each in objects if each["kind"] in ("DaemonSet", "Deployment")]
    (pod,) = (each["spec"]["template"]["spec"] for each in workloads if _component(each) == "controller")
    found: Object = pod["containers"][0]
    return found


def _component(each: Object) -> str:
    return str(each["metadata"]["labels"]["app.kubernetes.io/component"])


def notes(*settings: str, values: Sequence[Path] = ()) -> str:
    """What helm tells after an installation."""
    given = [f"--values={path}" for path in values] + [f"--set={each}" for each in settings]
    told = helm("install", "headrace", str(CHART), "--namespace=headrace", "--dry-run=client", *given)
    return told.partition("\nNOTES:\n")[2]


def exposure(name: str) -> Path:
    """A values file of `charts/headrace/ci`."""
    return CHART / "ci" / f"{name}-values.yaml"


def rights(*settings: str) -> list[Object]:
    """The namespace, the account and its rights alone, for a controller that runs outside of the chart."""
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "headrace"}}
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    return [namespace, *(each for each in render(*settings) if each["kind"] in kinds)]
