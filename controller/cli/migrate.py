"""`headrace migrate report|diff`: the way from ingress-nginx, looking only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from controller.cli.flags import add_selection_flags, flag_names, options_of
from controller.cli.main import FINE, PROBLEMS
from controller.migrate.fates import FlagNames
from controller.migrate.installation import Installation, installations_in
from controller.migrate.report import build
from controller.model.errors import UsageError
from controller.model.options import Options
from controller.offline import Look, look_at_cluster, look_at_manifests
from controller.sources.workloads import load_workloads, read_workloads
from controller.version import __version__

CONTROLLER_CLASS = "k8s.io/ingress-nginx"
"""What IngressClasses of ingress-nginx say, and its own default."""


class Seen(NamedTuple):
    """What was read, and with which flags."""

    look: Look
    options: Options
    installations: tuple[Installation, ...]
    source: str


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where something needs work, or where answers differ."""
    return _report(args) if args.action == "report" else _diff(args)


def _report(args: argparse.Namespace) -> int:
    seen = _seen(args)
    honoured, accepted = flag_names()
    report = build(
        seen.look.store.snapshot(),
        seen.look.translation,
        seen.options,
        seen.installations,
        names=FlagNames(honoured, accepted),
        source=seen.source,
        version=__version__,
    )
    if args.output == "html":
        from controller.migrate.page import page

        _tell(page(report), args.out)
    elif args.output == "json":
        from controller.migrate.plain import report_value

        _tell(json.dumps(report_value(report), indent=2) + "\n", args.out)
    else:
        from controller.migrate.table import table

        _tell(table(report), args.out)
    return PROBLEMS if report.problems else FINE


def _diff(args: argparse.Namespace) -> int:
    from controller.cli.migrate_diff import compare

    seen = _seen(args)
    return compare(args, seen.look, seen.options)


def _seen(args: argparse.Namespace) -> Seen:
    if args.directory is not None:
        if not args.directory.is_dir():
            raise UsageError(f"{args.directory} is not a directory")
        installations = installations_in(load_workloads(args.directory))
        options = _options(args, installations, manifests=True)
        return Seen(look_at_manifests(args.directory, options), options, installations, str(args.directory))
    installations = installations_in(read_workloads(args.kubeconfig))
    options = _options(args, installations, manifests=False)
    return Seen(look_at_cluster(args.kubeconfig, options), options, installations, f"cluster of {args.kubeconfig}")


def _options(args: argparse.Namespace, installations: tuple[Installation, ...], *, manifests: bool) -> Options:
    """What is given wins, then the flags of the first ingress-nginx, then its defaults. Raises `UsageError`."""
    parser = argparse.ArgumentParser(prog="flags of the ingress-nginx", add_help=False, exit_on_error=False)
    add_selection_flags(parser)
    parser.set_defaults(controller_class=CONTROLLER_CLASS)
    known = {option for action in parser._actions for option in action.option_strings}
    flags = [str(flag) for flag in (installations[0].flags if installations else ()) if f"--{flag.name}" in known]
    try:
        found, _ = parser.parse_known_args(flags)
    except argparse.ArgumentError as error:
        print(f"headrace migrate: the flags of the ingress-nginx are not used: {error}", file=sys.stderr)
        found = parser.parse_args([])
    given: Mapping[str, Any] = {name: value for name, value in vars(args).items() if hasattr(found, name)}
    return options_of(argparse.Namespace(**{**vars(found), **given}), manifests=manifests)


def _tell(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error.strerror}") from error
    print(f"written to {out}", file=sys.stderr)
