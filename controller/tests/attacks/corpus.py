"""Our own corpus of attacks: what a file of `corpus/` holds, and the Kubernetes objects that it comes to.

A file says what it is about, which weaknesses of other controllers it is taken from, and has a list of attacks. Each is
one Ingress of the namespace `outsider`, and what must come of it:

- `annotations`, `path` (`/`), `type` (`Prefix`), `host` (`NAME.attack.test`), `service` (`web`), `port`, `tls` (the
  name of a Secret), `metadata` and `spec` (taken as they are): what is attacked with;
- `told`: codes of which its owner is told one, nothing where empty, `any` for whatever;
- `answers`: who answers `http://HOST/PATH` or `ask`: `b` is the outsider's own pod, `a` the victim's, a number is the
  status; nothing is asked where empty.

`every` holds what all attacks of the file have; `with` further objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.tests.live.objects import Object

FILES = tuple(sorted((Path(__file__).parent / "corpus").glob("*.yaml")))
OUTSIDER = "outsider"


@dataclass(frozen=True)
class Attack:
    """One Ingress and what must come of it. `told` is None where everything is right."""

    name: str
    ingress: Object
    told: frozenset[str] | None
    answers: frozenset[str]
    url: str


@dataclass(frozen=True)
class Attacks:
    """One file. `told`: codes by `Kind name`, for other objects than the Ingresses."""

    about: str
    attacks: tuple[Attack, ...]
    others: tuple[Object, ...]
    told: dict[str, str]


def read(file: Path) -> Attacks:
    document = yaml.safe_load(file.read_text())
    every = document.get("every", {})
    attacks = tuple(_attack({**every, **each}) for each in document["attacks"])
    assert document["cves"], f"{file.name} does not say where it comes from"
    return Attacks(document["about"], attacks, tuple(document.get("with", ())), document.get("told", {}))


def _attack(each: dict[str, Any]) -> Attack:
    host = each.get("host", f"{each['name']}.attack.test")
    path = each.get("path", "/")
    told = each["told"]
    return Attack(
        each["name"],
        _ingress(each, host, path),
        None if told == "any" else frozenset([told] if isinstance(told, str) else told),
        frozenset([each["answers"]] if isinstance(each["answers"], str) else each["answers"]),
        f"http://{host}{each.get('ask', path if path.isascii() and path.isalpha() else '/')}",
    )


def _ingress(each: dict[str, Any], host: str, path: str) -> Object:
    paths = [_path({**each, "path": path}), *(map(_path, each.get("with_paths", ())))]
    tls = [{"hosts": [host], "secretName": each["tls"]}] if "tls" in each else []
    annotations = {
        name if "/" in name else f"nginx.ingress.kubernetes.io/{name}": text
        for name, text in each.get("annotations", {}).items()
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": each["name"],
            "namespace": OUTSIDER,
            "annotations": annotations,
            **each.get("metadata", {}),
        },
        "spec": {"rules": [{"host": host, "http": {"paths": paths}}], "tls": tls, **each.get("spec", {})},
    }


def _path(each: dict[str, Any]) -> Object:
    service = {"name": each.get("service", "web"), "port": each.get("port", {"number": 80})}
    return {"path": each["path"], "pathType": each.get("type", "Prefix"), "backend": {"service": service}}
