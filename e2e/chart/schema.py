"""Writes `charts/headrace/values.schema.json` from `values.yaml`: `python -m e2e.chart.schema`. A test keeps it true.

Types are those of the defaults, descriptions are the comments. Every object whose fields are ours refuses others, so
that a typo is told with its name; objects that are Kubernetes' own are left to the API server. Names that the chart of
ingress-nginx has and that mean nothing here are let through: an old values file must install.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "headrace"

Schema = dict[str, Any]

_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_NODE_PORT: Schema = {"anyOf": [_PORT, {"type": "string", "pattern": "^[0-9]*$"}]}
_NUMBER_OR_TEXT: Schema = {"type": ["integer", "string"]}
_REFERENCE: Schema = {"type": "string", "pattern": "^([a-z0-9][-a-z0-9.]*/[a-z0-9][-a-z0-9.]*)?$"}
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
_LABELS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
_NAMES: Schema = {"type": "array", "items": {"type": "string"}}
_NAME: Schema = {"type": "string", "minLength": 1}
_STREAMS: Schema = {"type": "object", "patternProperties": {"^[0-9]+$": {"type": "string"}}}
_STREAMS["additionalProperties"] = False


def _one_of(*texts: str) -> Schema:
    return {"enum": list(texts)}


_SERVICE_TYPE = _one_of("ClusterIP", "NodePort", "LoadBalancer")
_POLICY = _one_of("", "Cluster", "Local")

SPECIAL: tuple[tuple[str, Schema], ...] = (
    (r".*\.(config|proxySetHeaders|addHeaders|extraArgs|sysctls)", _TEXTS),
    (r"controller\.kind", _one_of("DaemonSet", "Deployment")),
    (r"controller\.hostPort\.enabled", {"type": ["boolean", "null"]}),
    (r"controller\.hostname", {"type": ["string", "object"]}),
    (r"controller\.dnsPolicy", _one_of("", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")),
    (r"controller\.ingressClassResource\.(name|controllerValue)", _NAME),
    (r"controller\.(defaultTLSSecret|publishService\.pathOverride)|defaultBackend\.existingService", _REFERENCE),
    (r"controller\.service\.internal\.type", _one_of("", *_SERVICE_TYPE["enum"])),
    (r".*\.service\.type", _SERVICE_TYPE),
    (r".*\.(externalTrafficPolicy|internalTrafficPolicy)", _POLICY),
    (r".*\.sessionAffinity", _one_of("", "None", "ClientIP")),
    (r".*\.ipFamilyPolicy", _one_of("", "SingleStack", "PreferDualStack", "RequireDualStack")),
    (r".*\.pullPolicy", _one_of("Always", "IfNotPresent", "Never")),
    (r".*\.unhealthyPodEvictionPolicy", _one_of("", "IfHealthyBudget", "AlwaysAllow")),
    (r".*\.(minAvailable|maxUnavailable|target(CPU|Memory)UtilizationPercentage)", _NUMBER_OR_TEXT),
    (r".*\.nodePorts\.https?|.*\.nodePort", _NODE_PORT),
    (r".*\.targetPorts\.https?", {"anyOf": [_PORT, {"type": "string"}]}),
    (r".*\.(ports|containerPort)\.https?|.*\.(servicePort|port)", _PORT),
    (r"tcp|udp", _STREAMS),
    (r".*\.(aliases|externalIPs|clusterIPs|ipFamilies|loadBalancerSourceRanges|targetLabels)", _NAMES),
    (r".*\.(secretNamespaces|ingressClassNames)", _NAMES),
    (r"(.*\.)?(annotations|(pod|config)Annotations|labels|(pod|additional|common)Labels|nodeSelector)", _LABELS),
)
"""Patterns of paths, the first that fits as a whole, where the default does not say what is allowed."""

OPEN = re.compile(r".*(Probe|Volume|resources|seccompProfile)")
"""Objects with a default whose fields are Kubernetes' own."""

WITHOUT_EFFECT = """
    controller.admissionWebhooks controller.allowSnippetAnnotations controller.configMapNamespace
    controller.customTemplate controller.enableAnnotationValidations controller.enableMimalloc
    controller.enableTopologyAwareRouting controller.existingPsp controller.extraModules
    controller.image.allowPrivilegeEscalation controller.image.chroot controller.image.digestChroot controller.keda
    controller.maxmindLicenseKey controller.opentelemetry controller.tcp.configMapNamespace
    controller.udp.configMapNamespace defaultBackend.existingPsp defaultBackend.networkPolicy
    defaultBackend.serviceAccount podSecurityPolicy
""".split()
"""Values of ingress-nginx (chart 4.x) that are accepted; docs/values.md says why nothing comes of them."""


def values_schema(text: str) -> Schema:
    """The schema of a values file (JSON Schema draft 7, which Helm takes: https://helm.sh/docs/topics/charts/)."""
    described = dict(comments(text))
    root = _of_value(yaml.safe_load(text), "", described)
    for path in WITHOUT_EFFECT:
        *parents, name = path.split(".")
        place = root
        for parent in parents:
            place = place["properties"][parent]
        place["properties"][name] = {"description": "Of the chart of ingress-nginx. Without effect."}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart headrace", **root}


def _of_value(value: Any, path: str, described: dict[str, str]) -> Schema:
    schema = next((found for pattern, found in SPECIAL if re.fullmatch(pattern, path)), None)
    if schema is None and isinstance(value, dict) and value and not OPEN.fullmatch(path):
        fields = {name: _of_value(each, f"{path}.{name}".lstrip("."), described) for name, each in value.items()}
        schema = {"type": "object", "properties": fields, "additionalProperties": False}
    return {**({"description": described[path]} if path in described else {}), **(schema or _of_type(value))}


def _of_type(value: Any) -> Schema:
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array"}
        case dict():
            return {"type": "object"}
    raise TypeError(f"values.yaml has a default of {type(value)}")


def comments(text: str) -> Iterator[tuple[str, str]]:
    """Paths of values with what their comment says; it begins with `-- ` and stands before them."""
    path: list[str] = []
    said: list[str] = []
    for line in text.splitlines():
        if found := re.match(r" *# ?(-- )?(.*)", line):
            said = [found[2]] if found[1] else [*said, found[2].strip()] if said else []
        elif found := re.match(r"( *)([A-Za-z]\w*):", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            if said:
                yield ".".join(path), " ".join(said)
            said = []
        else:
            said = []


def unexplained(text: str) -> Iterator[str]:
    """Paths of values without a comment."""
    return _undescribed(values_schema(text), "")


def _undescribed(schema: Schema, path: str) -> Iterator[str]:
    if "properties" not in schema:
        if "description" not in schema:
            yield path
        return
    for name, field in schema["properties"].items():
        yield from _undescribed(field, f"{path}.{name}".lstrip("."))


def written() -> str:
    return json.dumps(values_schema((CHART / "values.yaml").read_text()), indent=2) + "\n"


if __name__ == "__main__":
    (CHART / "values.schema.json").write_text(written())
