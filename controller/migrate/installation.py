"""The ingress-nginx that is there already: its image, its flags, and what each flag is here.

Found by its image or its command in Deployments and DaemonSets, whatever they are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

_IMAGE = re.compile(r"(^|/)(ingress-nginx/controller|nginx-ingress-controller)(-chroot)?(:|@|$)")
_PROGRAM = re.compile(r"(^|/)nginx-ingress-controller$")


class Flag(NamedTuple):
    """One argument. `name` is without dashes; `value` is empty for a bare flag."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"--{self.name}={self.value}" if self.value else f"--{self.name}"


@dataclass(frozen=True, slots=True)
class Installation:
    """One controller of ingress-nginx. `kind` is that of its workload."""

    kind: str
    namespace: str
    name: str
    image: str
    flags: tuple[Flag, ...]

    def value(self, name: str) -> str:
        """Of the last flag of that name; empty where it is not given."""
        return next((flag.value for flag in reversed(self.flags) if flag.name == name), "")


def installations_in(documents: Iterable[Mapping[str, Any]]) -> tuple[Installation, ...]:
    """Those among the workloads, in their order; a document of another shape is none."""
    return tuple(found for document in documents if (found := _installation(document)) is not None)


def flags_of(arguments: Sequence[str], namespace: str) -> tuple[Flag, ...]:
    """Arguments of a container: `--name=value`, `--name value` and bare ones, `$(POD_NAMESPACE)` filled in."""
    words = [word.replace("$(POD_NAMESPACE)", namespace) for word in arguments]
    found: list[Flag] = []
    for word in words:
        if word.startswith("-"):
            name, _, value = word.lstrip("-").partition("=")
            found.append(Flag(name, value))
        elif found and not found[-1].value:
            found[-1] = Flag(found[-1].name, word)
    return tuple(found)


def _installation(document: Mapping[str, Any]) -> Installation | None:
    meta = _mapping(document.get("metadata"))
    namespace = str(meta.get("namespace") or "default")
    for container in _containers(document):
        image = str(container.get("image") or "")
        words = [*_texts(container.get("command")), *_texts(container.get("args"))]
        program = next((n for n, word in enumerate(words) if _PROGRAM.search(word)), None)
        if program is None and not _IMAGE.search(image):
            continue
        flags = flags_of(words if program is None else words[program + 1 :], namespace)
        return Installation(str(document.get("kind")), namespace, str(meta.get("name") or "?"), image, flags)
    return None


def _containers(document: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    pod = _mapping(_mapping(_mapping(document.get("spec")).get("template")).get("spec"))
    listed = pod.get("containers")
    return [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
