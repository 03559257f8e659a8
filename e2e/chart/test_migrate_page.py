"""The commands of Helm in docs/migrate.md render, with a values file of a real installation."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from e2e.chart.rendering import CHART, INGRESS_NGINX, container_of, helm, render

ROOT = CHART.parents[1]
PAGE = (ROOT / "docs" / "migrate.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if re.match(r"helm (install|upgrade) ", line) and "--reuse-values" not in line
]


def _rendered(command: str) -> str:
    """What the command would install."""
    _, _, release, chart, *flags = shlex.split(command)
    assert chart == "charts/headrace"
    flags = [f.replace("your-values.yaml", str(INGRESS_NGINX)) for f in flags if f != "--create-namespace"]
    flags = [str(ROOT / flag) if flag.startswith("charts/") else flag for flag in flags]
    return helm("template", release, str(CHART), *flags)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[:3]))
def test_a_command_renders(command: str) -> None:
    text = _rendered(command)
    assert "registry.example.com/headrace:" in text


def test_there_are_commands_for_each_way() -> None:
    assert [command.split()[2] for command in COMMANDS] == ["headrace-shadow", "ingress-nginx", "headrace"]


def test_the_shadow_of_the_page_is_one() -> None:
    text = _rendered(COMMANDS[0])
    assert "--shadow" in text
    assert "--configmap=ingress-nginx/ingress-nginx-controller" in text
    assert "name: headrace-shadow-controller" in text
    assert "kind: IngressClass" not in text


def test_a_shadow_keeps_its_own_way_whatever_your_values_say() -> None:
    """shadow.yaml comes last: a load balancer, ports of nodes, an autoscaler of yours are not for it."""
    objects = render(values=[INGRESS_NGINX, Path(CHART / "shadow.yaml")])
    kinds = {each["kind"] for each in objects}
    assert not kinds & {"IngressClass", "ValidatingAdmissionPolicy", "HorizontalPodAutoscaler", "DaemonSet"}
    assert {each["spec"]["type"] for each in objects if each["kind"] == "Service"} == {"ClusterIP"}
    assert "--shadow" in container_of(objects)["args"]
    writes = {"create", "update", "patch", "delete"}
    verbs = {v for each in objects if "Role" in each["kind"] for r in each.get("rules", ()) for v in r["verbs"]}
    assert verbs == {"list", "watch"}
    assert not verbs & writes
