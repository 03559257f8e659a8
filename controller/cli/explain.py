"""`headrace explain URL`: which server, location, Service and pods answer a request, and why not the others."""

from __future__ import annotations

import argparse
import json

from rich.console import Console
from rich.text import Text

from controller.cli.flags import options_of
from controller.cli.main import FINE, PROBLEMS
from controller.explain.matcher import Explanation, explain
from controller.explain.report import lines_of, plain, to_dict
from controller.model.errors import UsageError
from controller.offline import Look, look_at_cluster, look_at_manifests
from controller.settings import default_kubeconfig

_STYLES = {"good": "green", "warning": "yellow", "bad": "red", "dim": "dim", "": ""}


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where a URL is answered by an error (a status of 400 or more) instead of a backend."""
    headers = dict(_header(text) for text in args.header)
    look = _look(args)
    configuration, report = look.translation.configuration, look.translation.report
    stories = [
        explain(configuration, url, args.method, headers, report=report, endpoints=look.endpoints) for url in args.urls
    ]
    if args.output == "json":
        found = [to_dict(story) for story in stories]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    else:
        _print(stories)
    return PROBLEMS if any((story.status or 200) >= 400 for story in stories) else FINE


def _look(args: argparse.Namespace) -> Look:
    if args.manifests is not None:
        return look_at_manifests(args.manifests, options_of(args, manifests=True))
    kubeconfig = args.kubeconfig or default_kubeconfig()
    if not kubeconfig:
        raise UsageError("say where the objects are: --manifests DIR or --kubeconfig FILE")
    return look_at_cluster(kubeconfig, options_of(args, manifests=False))


def _print(stories: list[Explanation]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for number, story in enumerate(stories):
        if number:
            console.print()
        if not console.is_terminal:
            print(plain(lines_of(story)), end="")
            continue
        for line in lines_of(story):
            text = Text(f"{line.label:<13} ", style="bold")
            text.append(line.text, style=_STYLES[line.tone])
            console.print(text)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"-H takes 'NAME: VALUE', not {text!r}")
    return name.strip(), value.strip()
