"""One annotation: its name and the grammar of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from controller.translate.annotations.values import Grammar

T = TypeVar("T")

OUR_PREFIX = "headrace.dev/"


@dataclass(frozen=True, slots=True)
class Annotation(Generic[T]):
    """One whose value is read. `name` is without the prefix; `ours`: ingress-nginx never had it."""

    name: str
    grammar: Grammar[T]
    ours: bool = False
