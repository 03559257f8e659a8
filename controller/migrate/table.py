"""The report for a terminal: plain text of at most 100 columns, worst first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from controller.migrate.answers import Outcome, Where
from controller.migrate.model import FATE_TEXT, FINE, Fate, IngressReport, Item, MigrationReport
from controller.migrate.shown import printable
from controller.migrate.snippets import Advice, tally
from controller.model.diagnostics import EFFECT_TEXT, Diagnostic

WIDTH = 100
MARKS = {
    Fate.CARRIED: "ok",
    Fate.DIFFERS: "differs",
    Fate.WITHOUT_EFFECT: "no effect",
    Fate.IGNORED: "ignored",
    Fate.INVALID: "invalid",
    Fate.UNKNOWN: "unknown",
    Fate.REFUSED: "refused",
    Fate.CLOSES: "CLOSES",
}
_MARK, _NAME = 10, 34


def table(report: MigrationReport) -> str:
    """The whole report, ending with a line break."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: MigrationReport) -> Iterator[str]:
    yield from _summary(report)
    yield from _controllers(report)
    for ingress in sorted(report.ingresses, key=lambda i: (-list(Fate).index(i.fate), i.key)):
        yield from _ingress(ingress)
    yield from _rest(report)


def _summary(report: MigrationReport) -> Iterator[str]:
    yield from _wrap(f"Report on the way from ingress-nginx to Headrace {report.version}: {report.source}")
    if report.flags:
        yield from _wrap(f"Flags: {' '.join(report.flags)}")
    yield ""
    counts = report.count_ingresses()
    total = len(report.ingresses)
    ready = sum(counts[fate] for fate in FINE)
    yield f"{total} Ingresses are served; {ready} of them need no work, {total - ready} do."
    for fate, number in counts.items():
        if number:
            yield f"  {number:>5}  {MARKS[fate]:<{_MARK}} {FATE_TEXT[fate]}"
    if report.left:
        yield f"  {len(report.left):>5}  Ingresses are of others, and stay with them"
    yield ""


def _controllers(report: MigrationReport) -> Iterator[str]:
    for each in report.classes:
        served = "served" if each.served else "not served"
        yield from _wrap(f"IngressClass {each.name} ({each.controller}): {served}, {each.ingresses} Ingresses")
    if report.classes:
        yield ""
    for deployed in report.deployed:
        found = deployed.installation
        yield from _head(f"{found.kind} {found.namespace}/{found.name} ({found.image})")
        yield from _items(deployed.items)
        yield ""
    settings = report.settings
    if settings.key is None:
        yield from _wrap("No ConfigMap of the controller is named: --configmap NAMESPACE/NAME reads its settings.")
        yield ""
    elif not settings.found:
        yield from _wrap(f"{settings.key} is not there; the defaults count.")
        yield ""
    else:
        yield from _head(str(settings.key))
        yield from _items(settings.items)
        yield ""


def _ingress(ingress: IngressReport) -> Iterator[str]:
    hosts = ", ".join(ingress.hosts[:4]) + (" ..." if len(ingress.hosts) > 4 else "")
    yield from _head(f"Ingress {ingress.key.path} ({hosts or 'no rules'})")
    if ingress.fate is Fate.CARRIED and not ingress.items:
        yield "  ok         as it is"
    yield from _items(ingress.items)
    for note in ingress.notes:
        yield from _row("differs", "path", note)
    for finding in ingress.own_findings:
        yield from _finding(finding)
    yield ""


def _rest(report: MigrationReport) -> Iterator[str]:
    if report.others:
        yield from _head("Other objects")
        for finding in report.others:
            yield from _row(str(finding.severity), str(finding.object), _sentence(finding))
        yield ""
    if report.left:
        yield from _head("Not served")
        for left in report.left:
            yield from _row("other", f"Ingress {left.key.path}", left.why)
        yield ""
    yield from _head("Different for everybody")
    for sentence in report.general:
        yield from _wrap(sentence, "  ")


def _items(items: Iterable[Item]) -> Iterator[str]:
    for item in sorted(items, key=lambda i: (-list(Fate).index(i.fate), i.name)):
        text = f"{item.note} {_instead(item)}".strip()
        shown = f"{item.name}: {item.value}" if item.value else item.name
        yield from _row(MARKS[item.fate], shown, text)
        for advice in item.advices:
            yield from _advice(advice)
        if item.advices:
            counts = tally(item.advices)
            yield from _wrap(
                f"{counts[Outcome.REPLACED]} replaced, {counts[Outcome.NEEDLESS]} not needed, "
                f"{counts[Outcome.NONE]} without a counterpart",
                " " * (_MARK + 3),
            )


def _instead(item: Item) -> str:
    return f"Instead: {item.instead}" if item.instead else ""


def _advice(advice: Advice) -> Iterator[str]:
    indent = " " * (_MARK + 3)
    within = f" in {advice.within}" if advice.within else ""
    yield from _wrap(f"line {advice.line}: {advice.directive}{within}", indent)
    answer = advice.answer
    for made in answer.replacements:
        where = {Where.ANNOTATION: "annotation", Where.SETTING: "ConfigMap", Where.OBJECT: "object"}[made.where]
        later = "" if made.carried_out else "  (not in this version)"
        on = f" on {advice.target}" if made.where is Where.ANNOTATION and advice.within else ""
        yield from _wrap(f"-> {where} {made.name}: {made.value}{on}{later}", indent + "  ")
    marks = {Outcome.NONE: "nothing: ", Outcome.NEEDLESS: "not needed: ", Outcome.REPLACED: ""}
    if answer.note:
        yield from _wrap(f"-> {marks[answer.outcome]}{answer.note}", indent + "  ")


def _finding(finding: Diagnostic) -> Iterator[str]:
    yield from _row(str(finding.severity), finding.field.text or finding.code, _sentence(finding))


def _sentence(finding: Diagnostic) -> str:
    return f"{finding.message} {EFFECT_TEXT[finding.effect]} {finding.hint}".strip()


def _row(mark: str, name: str, text: str) -> Iterator[str]:
    """A mark, a name, and a text beside it, or below where the name is long."""
    shown = printable(name)
    if not text:
        yield from _wrap(f"{mark:<{_MARK}} {shown}", "  ", " " * (_MARK + 3))
        return
    begun = f"  {mark:<{_MARK}} {shown}"
    indent = " " * (_MARK + 3 + _NAME)
    if len(shown) > _NAME - 2:
        yield from _wrap(f"{mark:<{_MARK}} {shown}", "  ", " " * (_MARK + 3))
        yield from _wrap(text, " " * (_MARK + 5))
        return
    lines = list(_wrap(text, indent))
    yield f"{begun:<{len(indent)}}{lines[0].lstrip()}"
    yield from lines[1:]


def _head(text: str) -> Iterator[str]:
    yield from _wrap(text)
    yield "-" * min(WIDTH, len(printable(text)))


def _wrap(text: str, indent: str = "", further: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [indent]
