"""Which findings of a build have to do with one request: those of the objects that shape its host or serve it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from controller.model.configuration import Configuration, Server
from controller.model.diagnostics import Diagnostic, Report, Severity
from controller.model.refs import Kind, ObjectKey

_RULE = re.compile(r"spec\.rules\[(\d+)\]")
_SEVERITIES = tuple(Severity)


def relevant(
    report: Report, configuration: Configuration, server: Server, involved: Iterable[ObjectKey]
) -> tuple[Diagnostic, ...]:
    """Worst first. `involved`: the Service, Secret and Ingress of this very request.

    A finding about a rule of an Ingress counts only where that rule is not known to be for another host.
    """
    shaping = frozenset(server.origins) | frozenset(involved)
    elsewhere = _rules_of_others(configuration, server)
    found = [
        finding for finding in report.diagnostics if _concerns(finding, shaping) and _rule_of(finding) not in elsewhere
    ]
    return tuple(sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity)))


def _concerns(finding: Diagnostic, objects: frozenset[ObjectKey]) -> bool:
    return finding.object in objects or any(key in objects for key in finding.related)


def _rule_of(finding: Diagnostic) -> tuple[ObjectKey, int] | None:
    rule = _RULE.match(finding.field.text)
    if rule is None or finding.object.kind is not Kind.INGRESS:
        return None
    return finding.object, int(rule.group(1))


def _rules_of_others(configuration: Configuration, server: Server) -> frozenset[tuple[ObjectKey, int]]:
    def rules(some: Server) -> Iterator[tuple[ObjectKey, int]]:
        return ((loc.origin.ingress, loc.origin.rule) for loc in some.locations if loc.origin)

    others = (rule for other in configuration.servers.values() if other is not server for rule in rules(other))
    return frozenset(others) - frozenset(rules(server))
