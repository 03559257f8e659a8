"""`headrace lint DIR|--kubeconfig`: what is wrong with which object, and what traffic does."""

from __future__ import annotations

import argparse
import json
from itertools import groupby

from rich.console import Console
from rich.text import Text

from controller.cli.flags import options_of
from controller.cli.main import FINE, PROBLEMS
from controller.migrate.hints import with_hints
from controller.model.diagnostics import EFFECT_TEXT, Diagnostic, Report, Severity
from controller.observe.findings import report_json
from controller.offline import Look, look_at_cluster, look_at_manifests

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "cyan"}


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where there is an error or a warning."""
    console = Console(highlight=False, soft_wrap=True)
    options = options_of(args, manifests=args.directory is not None)
    with Console(stderr=True).status("Reading objects ..."):
        look = (
            look_at_manifests(args.directory, options)
            if args.directory is not None
            else look_at_cluster(args.kubeconfig, options)
        )
    report = with_hints(look.translation.report, look.store.snapshot(), options.annotations_prefix)
    if args.output == "json":
        summary = {"ingresses": len(look.translation.ingresses), "hosts": _hosts(look)}
        console.print(json.dumps({**summary, **report_json(report)}, indent=2), markup=False)
    else:
        _print_report(report, look, console)
    return PROBLEMS if report.worst in (Severity.ERROR, Severity.WARNING) else FINE


def _print_report(report: Report, look: Look, console: Console) -> None:
    for owner, findings in groupby(report.diagnostics, key=lambda d: d.object):
        console.print(Text(str(owner), style="bold"))
        for finding in findings:
            console.print(_text_of(finding))
        console.print()
    counts = [f"{number} {severity}" for severity, number in _by_severity(report).items() if number]
    found = f"{len(look.translation.ingresses)} Ingresses for {_hosts(look)} hosts"
    console.print(f"{found}: {', '.join(counts) or 'nothing to complain about'}", markup=False)


def _text_of(finding: Diagnostic) -> Text:
    text = Text("  ")
    text.append(f"{finding.severity}[{finding.code}]", style=_STYLES[finding.severity])
    if finding.field.text:
        text.append(f" {finding.field}", style="cyan")
    text.append(f"\n    {finding.message}\n    {EFFECT_TEXT[finding.effect]}")
    if finding.hint:
        text.append(f"\n    {finding.hint}", style="italic")
    return text


def _by_severity(report: Report) -> dict[str, int]:
    found = [d.severity for d in report.diagnostics]
    return {f"{severity}{'s' if found.count(severity) != 1 else ''}": found.count(severity) for severity in Severity}


def _hosts(look: Look) -> int:
    return sum(1 for host in look.translation.configuration.servers if host)
