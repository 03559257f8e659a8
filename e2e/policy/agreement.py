"""Compares what the policy says to an Ingress with what the controller says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from e2e.policy.dryrun import Answer, DryRun
from e2e.policy.objects import OUR_CLASS
from e2e.policy.verdict import beyond_cel, outside_grammars, refusals


def compare(api: DryRun, found: Mapping[str, Any]) -> Answer:
    """Asserts that both say the same, where the API server itself has no objection."""
    ours = {**found, "spec": {**found.get("spec", {}), "ingressClassName": OUR_CLASS}}
    answer = api.create(ours)
    if answer.taken or answer.refused_by_policy:
        refused, outside = refusals(ours), outside_grammars(ours)
        assert not (answer.refused_by_policy and not refused and not outside), (answer.message, found)
        assert not (answer.taken and not all(map(beyond_cel, refused))), (refused, found)
        assert not (answer.taken and outside), (outside, found)
    return answer


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The Ingresses of a file that the API server would read as such."""
    for document in yaml.safe_load_all(path.read_text()):
        items = document.get("items", [document]) if isinstance(document, dict) else []
        for each in items:
            if isinstance(each, dict) and (each.get("apiVersion"), each.get("kind")) == (
                "networking.k8s.io/v1",
                "Ingress",
            ):
                yield each
