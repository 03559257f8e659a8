"""Runs a golden case and writes down what came of it, in the form of the files that it expects."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import ndiff
from functools import cache

from controller.explain.matcher import Explanation, explain
from controller.model.configuration import Certificate, Translation
from controller.model.diagnostics import Diagnostic
from controller.model.fragments import FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.offline import Look
from controller.render.fragments import Renderer
from controller.state.events import Applied, Deleted, Event, Rejected
from controller.state.store import Store
from controller.tests.case_dump import dump
from controller.tests.case_files import Case, Question, Settings, question_of
from controller.translate.tls import CertificateCache
from controller.translate.translator import translate

LAYOUT = Layout(
    state_dir="/state",
    run_dir="/run",
    nginx=NginxBinary("/nginx", (1, 31, 3), frozenset({"ipv6", "headers-more"})),
    resolvers=("127.0.0.1:10053",),
    sentinel_port=8181,
    open_files=65_536,
)
_INTERNAL = re.compile(r"^    location @hr_\w+ \{(?:.*\}\n|\n(?:        .*\n)*    \}\n)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case that has run."""

    case: Case
    store: Store
    translation: Translation
    fragments: FragmentSet

    def parts(self, names: Iterable[str]) -> dict[str, str]:
        """The text of these expected files, and of `diagnostics.txt`, as it is; files that cannot be are left out."""
        found = {name: text for name in {*names, "diagnostics.txt"} if (text := self._part(name))}
        return dict(sorted(found.items()))

    def _part(self, name: str) -> str:
        match name:
            case "model.yaml":
                return dump(self.translation.configuration)
            case "diagnostics.txt":
                return "".join(f"{_finding(found)}\n" for found in self.translation.report.diagnostics)
            case "explain.txt":
                return self._explained((self.case.directory / name).read_text())
            case "main.diff":
                return _difference(_without_settings(self.case.settings), self.fragments.fragments["nginx.conf"].text)
        kind, _, file = name.partition("/")
        fragment = self.fragments.fragments.get(file) or self.fragments.fragments.get(f"servers/{file}")
        if fragment is None:
            return ""
        return fragment.text if kind == "whole" else _INTERNAL.sub("", fragment.text)

    def _explained(self, text: str) -> str:
        addresses = self.case.settings.addresses
        questions = [question_of(line) for line in text.splitlines() if line.strip()]
        return "".join(f"{q.text} -> {_answer(self.story(q), addresses=addresses)}\n" for q in questions)

    def story(self, question: Question) -> Explanation:
        look = Look(self.store, self.translation, manifests=True)
        return explain(
            self.translation.configuration,
            question.url,
            question.method,
            dict(question.headers),
            endpoints=look.endpoints,
        )


def run(case: Case, seed: int | None = None) -> Outcome:
    """Everything at once; with a seed the objects come in another order."""
    store = Store(frozenset())
    kept: Mapping[str, Certificate] = {}
    if case.earlier:
        _apply(store, case.earlier)
        kept = _translate(store, case.settings, {}).configuration.certificates
        now = {event.key for event in case.events if isinstance(event, Applied | Rejected)}
        _apply(store, (Deleted(e.key) for e in case.earlier if isinstance(e, Applied) and e.key not in now))
    _apply(store, case.events if seed is None else shuffled(case.events, seed))
    return outcome_of(case, store, Renderer(LAYOUT), CertificateCache(), kept)


def outcome_of(
    case: Case, store: Store, renderer: Renderer, cache: CertificateCache, kept: Mapping[str, Certificate]
) -> Outcome:
    translation = _translate(store, case.settings, kept, cache)
    return Outcome(case, store, translation, renderer.render(translation.configuration))


def shuffled(events: Sequence[Event], seed: int) -> list[Event]:
    mixed = list(events)
    random.Random(seed).shuffle(mixed)
    return mixed


def _apply(store: Store, events: Iterable[Event]) -> None:
    for event in events:
        store.apply(event)


def _translate(
    store: Store, settings: Settings, kept: Mapping[str, Certificate], cache: CertificateCache | None = None
) -> Translation:
    now = int(settings.now.timestamp())
    return translate(store.snapshot(), settings.options, now=now, kept=kept, cache=cache)


def _finding(found: Diagnostic) -> str:
    where = f" {found.field}" if found.field.text else ""
    hint = f" {found.hint}" if found.hint else ""
    return f"{found.severity} {found.code} {found.object}{where} {found.effect}: {found.message}{hint}"


def _answer(story: Explanation, *, addresses: bool) -> str:
    if story.redirect_to:
        text = f"{story.status} {story.redirect_to}"
    elif story.status is not None:
        text = f"{story.status} {story.why}"
    elif story.upstream is None:
        text = story.why
    else:
        text = story.upstream.id + (f" as {story.rewritten.uri}" if story.rewritten else "")
        text += f" at {' '.join(story.endpoints)}" if addresses and story.endpoints else ""
    if story.certificate is not None:
        served = story.certificate.certificate
        text += f", certificate {served.secret.path if served and served.secret else 'self-signed'}"
    return text + (", perhaps" if story.undecided else "")


@cache
def _without_settings(settings: Settings) -> str:
    """nginx.conf where nobody has set anything."""
    translation = _translate(Store(frozenset()), settings, {})
    return Renderer(LAYOUT).render(translation.configuration).fragments["nginx.conf"].text


def _difference(before: str, after: str) -> str:
    lines = ndiff(before.splitlines(), after.splitlines())
    return "".join(f"{line[0]} {line[2:].strip()}\n" for line in lines if line[0] in "+-")
