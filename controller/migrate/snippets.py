"""What stood in a snippet, directive by directive, and what takes its place.

Snippets are refused, always (docs/migrate.md says why). This is the other half of that word: nearly all of what people
wrote into them has a name of its own, as an annotation, as a key of the ConfigMap or as an Ingress more. Where nothing
takes the place of a directive, that is what is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.migrate.answers import (
    Answer,
    Outcome,
    Place,
    Replacement,
    Where,
    annotation,
    checked,
    nothing,
    replaced,
    setting,
    thing,
)
from controller.migrate.conditions import EVERYBODY
from controller.migrate.directives import answer_of
from controller.migrate.lexer import Directive, parse

ANNOTATIONS = (
    "configuration-snippet", "server-snippet", "stream-snippet", "auth-snippet", "modsecurity-snippet",
)  # fmt: skip
SETTINGS = (
    "main-snippet", "http-snippet", "server-snippet", "location-snippet", "stream-snippet", "global-auth-snippet",
    "modsecurity-snippet",
)  # fmt: skip
"""Annotations and keys of the ConfigMap that hold text for nginx."""

LONGEST = 160
MOST_HINTS = 6


@dataclass(frozen=True, slots=True)
class Advice:
    """One directive. `target` is the Ingress (`namespace/name`) that takes the annotations, empty for none.

    `line` counts from 1, 0 where the whole text is meant. `within` is the location block around it, if any.
    """

    line: int
    directive: str
    target: str
    answer: Answer
    within: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All replacements of one snippet together: annotations by Ingress, keys of the ConfigMap, lines of objects."""

    annotations: dict[str, dict[str, str]]
    settings: dict[str, str]
    objects: dict[str, tuple[str, ...]]


def advise(text: str, place: Place) -> tuple[Advice, ...]:
    """One Advice for each directive, in their order."""
    if place.snippet == "modsecurity-snippet":
        told = nothing("There is no web application firewall here: put one in front.")
        return (Advice(0, place.snippet, _target(place), told),)
    found = parse(text)
    advices = _block(found.directives, place, "")
    if found.broken:
        told = nothing(f"nginx would refuse this text: {found.broken}.")
        advices.append(Advice(0, place.snippet, _target(place), told))
    return tuple(advices)


def plan_of(advices: Iterable[Advice]) -> Plan:
    """Lists are joined; of two values of another annotation the last one counts, as it does in a snippet."""
    annotations: dict[str, dict[str, str]] = {}
    settings: dict[str, str] = {}
    objects: dict[str, list[str]] = {}
    for advice in advices:
        for made in advice.answer.replacements:
            if made.where is Where.OBJECT:
                lines = objects.setdefault(made.name, [])
                lines += [made.value] if made.value not in lines else []
            else:
                into = settings if made.where is Where.SETTING else annotations.setdefault(advice.target, {})
                into[made.name] = _joined(into.get(made.name, ""), made)
    return Plan(annotations, settings, {name: tuple(lines) for name, lines in objects.items()})


def hint_of(advices: Iterable[Advice]) -> str:
    """One sentence for a finding: what takes the place of what, shortened where there is much."""
    told = [f"{_short(advice.answer)} ({advice.directive.split(' ')[0]})" for advice in advices]
    counted = list(dict.fromkeys(told))
    more = f"; and {len(counted) - MOST_HINTS} more" if len(counted) > MOST_HINTS else ""
    return f"Instead: {'; '.join(counted[:MOST_HINTS])}{more}." if counted else ""


def tally(advices: Iterable[Advice]) -> dict[str, int]:
    """Number of directives by outcome, each outcome present."""
    counted = Counter(advice.answer.outcome for advice in advices)
    return {str(outcome): counted[outcome] for outcome in Outcome}


def _block(directives: tuple[Directive, ...], place: Place, within: str) -> list[Advice]:
    """Those of one block know of each other where that matters: `deny all` is everybody, unless a list allows some."""
    lists_some = any(d.name == "allow" and d.args != ("all",) for d in directives)
    found: list[Advice] = []
    for directive in directives:
        if directive.name == "deny" and directive.args == ("all",) and not lists_some:
            name = "block-cidrs" if place.for_all else "denylist-source-range"
            make = setting if place.for_all else annotation
            told = replaced(make(name, EVERYBODY))
            found.append(Advice(directive.line, str(directive), _target(place), told, within))
        else:
            found += _of(directive, place, within)
    return found


def _of(directive: Directive, place: Place, within: str) -> list[Advice]:
    text = str(directive)
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    target = _target(place)
    if directive.name != "location":
        answer = checked(_auth_answer(directive, place) or answer_of(directive, place))
        return [Advice(directive.line, text, target, answer, within)]
    inner_place, answer = _location(directive, place)
    inner: list[Advice] = []
    if answer.replacements:  # else there is no Ingress that its directives could go to
        inner = _block(directive.block or (), inner_place, text.removesuffix(" { ... }"))
    return [Advice(directive.line, text, target, answer, within), *inner]


def _location(directive: Directive, place: Place) -> tuple[Place, Answer]:
    """A block for a path is an Ingress of its own, so that its annotations are for that path only."""
    *modifiers, path = directive.args or ("",)
    modifier = modifiers[0] if modifiers else ""
    if path.startswith("@"):
        return place, nothing("Places that only other directives of the snippet lead to have no counterpart.")
    if place.for_all:
        return place, nothing("It is for all hosts: write an Ingress for the path where it is needed.")
    kind = {"=": "Exact", "": "Prefix", "^~": "Prefix"}.get(modifier, "ImplementationSpecific")
    name = f"{place.ingress}-{_slug(path)}"
    note = "The same host and Service; the annotations below go there."
    ingress = f"Ingress {place.namespace}/{name}"
    if kind != "ImplementationSpecific":
        return replace(place, ingress=name), replaced(thing(ingress, f"path: {path}, pathType: {kind}"), note=note)
    shown = path.removeprefix("^") if path.startswith("^") else f"/.*{path}"
    note += " With use-regex every path of the host is an expression that ignores case and begins with a slash."
    wanted = Replacement(Where.ANNOTATION, "use-regex", "true")
    made = thing(ingress, f"path: {shown}, pathType: {kind}, annotation {wanted.name}: {wanted.value}")
    return replace(place, ingress=name), replaced(made, note=note)


def _auth_answer(directive: Directive, place: Place) -> Answer | None:
    """Headers for the authentication service have an annotation of their own."""
    if directive.name not in ("proxy_set_header", "more_set_input_headers"):
        return None
    header = " ".join((directive.args[0] + ":", *directive.args[1:])) if directive.args else ""
    if place.snippet == "auth-snippet":
        name = place.headers_name.replace("-headers", "-auth-headers")
        made = Replacement(Where.ANNOTATION, "auth-proxy-set-headers", name)
        return replaced(made, thing(f"ConfigMap {name}", header))
    if place.snippet == "global-auth-snippet":
        return nothing("Headers for the authentication service are set by auth-proxy-set-headers on an Ingress only.")
    return None


def _short(answer: Answer) -> str:
    if answer.outcome is Outcome.NEEDLESS:
        return "not needed"
    if answer.outcome is Outcome.NONE:
        return "nothing"
    made = answer.replacements
    parts = [f'{r.name}: "{r.value}"{_later(r)}' for r in made if r.where is Where.ANNOTATION]
    keys = dict.fromkeys(f"{r.name}{_later(r)}" for r in made if r.where is Where.SETTING)
    if keys:
        parts.append(f"{', '.join(keys)} of the ConfigMap")
    return " and ".join(parts or dict.fromkeys(r.name for r in made))


def _later(made: Replacement) -> str:
    return "" if made.carried_out else " (not in this version)"


def _joined(before: str, made: Replacement) -> str:
    if not before or made.name not in _LISTS:
        return made.value
    items = dict.fromkeys((*before.split(","), *made.value.split(",")))
    return ",".join(items)


_LISTS = frozenset(
    """
    allowlist-source-range denylist-source-range whitelist-source-range block-cidrs block-user-agents block-referers
    hide-headers global-allowed-response-headers auth-response-headers global-auth-response-headers
    custom-http-errors server-alias proxy-real-ip-cidr
    """.split()
)
"""Names whose values are lists joined by commas."""


def _target(place: Place) -> str:
    return "" if place.for_all else f"{place.namespace}/{place.ingress}"


def _slug(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[:30].strip("-") or "root"
