"""Label selectors in the API server's text form, for `--watch-namespace-selector`.

Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

_REQUIREMENT = re.compile(
    r"\s*(?:"
    r"(?P<absent>!)\s*(?P<absent_key>[\w./-]+)"
    r"|(?P<set_key>[\w./-]+)\s+(?P<set_op>in|notin)\s*\((?P<values>[^)]*)\)"
    r"|(?P<key>[\w./-]+)\s*(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)"
    r"|(?P<present_key>[\w./-]+)"
    r")\s*(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """`key` must (or, `negated`, must not) have one of `values`; empty `values` asks for presence alone."""

    key: str
    values: frozenset[str]
    negated: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        holds = labels.get(self.key) in self.values if self.values else self.key in labels
        return holds != self.negated


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    @staticmethod
    @lru_cache(maxsize=8)
    def parse(text: str) -> LabelSelector:
        """Raises `ValueError` where the text is not a selector."""
        requirements, position = [], 0
        while position < len(text):
            found = _REQUIREMENT.match(text, position)
            if not found or found.end() == position:
                raise ValueError(f"not a label selector: {text!r}")
            requirements.append(_requirement(found))
            position = found.end()
        return LabelSelector(tuple(requirements))


def _requirement(found: re.Match[str]) -> Requirement:
    if found["absent"]:
        return Requirement(found["absent_key"], frozenset(), negated=True)
    if found["set_op"]:
        values = frozenset(v.strip() for v in found["values"].split(","))
        return Requirement(found["set_key"], values, negated=found["set_op"] == "notin")
    if found["op"]:
        return Requirement(found["key"], frozenset({found["value"]}), negated=found["op"] == "!=")
    return Requirement(found["present_key"], frozenset())
