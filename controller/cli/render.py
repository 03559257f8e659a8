"""`headrace render DIR`: the nginx configuration of a set of manifests."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from controller.cli.flags import options_of
from controller.cli.main import FINE, PROBLEMS
from controller.model.diagnostics import Severity
from controller.model.errors import UsageError
from controller.model.fragments import FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.observe.findings import report_json
from controller.offline import look_at_manifests
from controller.render.fragments import Renderer

_STATE = "/var/lib/headrace"

SHOWN = Layout(
    state_dir=_STATE,
    run_dir=f"{_STATE}/run",
    nginx=NginxBinary("nginx", (1, 31, 3), frozenset({"ipv6"})),
    resolvers=("127.0.0.1:10053",),
    sentinel_port=8181,
    workers=1,
    open_files=65_536,
)
"""Stands for a machine: places that `headrace run` fills in are those of a pod."""


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where some object cannot be served as written; the rest is rendered all the same."""
    look = look_at_manifests(args.directory, options_of(args, manifests=True))
    fragments = Renderer(SHOWN).render(look.translation.configuration)
    report = look.translation.report
    if args.out:
        _write(fragments, args.out)
    if args.output == "json":
        files = {path: fragment.text for path, fragment in fragments.fragments.items()}
        print(json.dumps({"digest": fragments.digest, "files": files, "report": report_json(report)}, indent=2))
    elif not args.out:
        for path, fragment in fragments.fragments.items():
            print(f"# ==== {path}\n{fragment.text}")
    else:
        print(f"{len(fragments.fragments)} files in {args.out}")
    for finding in report.diagnostics:
        print(finding, file=sys.stderr)
    return PROBLEMS if report.worst is Severity.ERROR else FINE


def _write(fragments: FragmentSet, directory: Path) -> None:
    try:
        for path, fragment in fragments.fragments.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(fragment.text)
    except OSError as error:
        raise UsageError(f"--out {directory} cannot be written: {error.strerror}") from error
