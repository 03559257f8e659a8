"""Deployments and DaemonSets, for commands that look at the controller that is there already. Read once, never watched.

Only those that may be an ingress-nginx are worth their time: a file is parsed where its text speaks of such a workload,
and a cluster is asked by the label that its chart and its plain manifests both have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from controller.model.errors import ApiForbidden
from controller.sources.documents import BrokenFile, read_json, read_yaml

KINDS = ("Deployment", "DaemonSet")
_PATHS = ("/apis/apps/v1/deployments", "/apis/apps/v1/daemonsets")
_ENDINGS = (".yaml", ".yml", ".json")
LABEL = "app.kubernetes.io/name=ingress-nginx"


def load_workloads(directory: Path) -> list[Mapping[str, Any]]:
    """Those of the YAML and JSON files below the directory; what cannot be read is left out, others tell of it."""
    found: list[Mapping[str, Any]] = []
    for path in sorted(p for p in directory.rglob("*") if p.suffix in _ENDINGS and p.is_file()):
        if any(part.startswith(".") for part in path.relative_to(directory).parts):
            continue
        try:
            text = path.read_bytes()
            if any(kind.encode() in text for kind in KINDS):
                documents = (read_json if path.suffix == ".json" else read_yaml)(text)
                found += [d.content for d in documents if d.content.get("kind") in KINDS]
        except (OSError, BrokenFile):
            continue
    return found


def read_workloads(kubeconfig: str) -> list[Mapping[str, Any]]:
    """Those of a cluster that say they are an ingress-nginx; none where we may not look.

    Raises `UsageError` and `ApiUnavailable`.
    """
    return asyncio.run(_read(kubeconfig))


async def _read(kubeconfig: str) -> list[Mapping[str, Any]]:
    from controller.sources.transport import connect

    api = await connect(kubeconfig)
    try:
        answers = []
        for path, kind in zip(_PATHS, KINDS, strict=True):
            try:
                answers.append((kind, await api.send("GET", path, [("labelSelector", LABEL)])))
            except ApiForbidden:
                continue
    finally:
        await api.close()
    return [item for kind, answer in answers for item in _items(kind, answer)]


def _items(kind: str, answer: bytes) -> Iterator[Mapping[str, Any]]:
    for item in msgspec.json.decode(answer).get("items") or ():
        yield {**item, "kind": kind}
