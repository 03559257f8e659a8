"""The flags of `headrace migrate report` and `headrace migrate diff`.

The flags that select objects have no defaults here: what is not given comes from the flags of the ingress-nginx that is
among the objects, and only then from its defaults.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from controller.cli.flags import add_selection_flags


def add_migrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "migrate",
        help="come from ingress-nginx: report, and compare both controllers",
        description="Reads what ingress-nginx serves, says what becomes of it (report), and asks both controllers the "
        "same questions (diff). Nothing is ever written to the cluster. docs/migrate.md tells the whole way.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_report(actions)
    _add_diff(actions)


def _add_report(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "report",
        help="what carries over, what behaves differently, what is refused and what to use instead",
        description="Says of each Ingress, of the ConfigMap and of the flags of an ingress-nginx what becomes of them. "
        "Exit code 1 where something needs work.",
    )
    _add_source(parser)
    add = parser.add_argument
    add("--output", choices=("table", "json", "html"), default="table", help="table for people (default), json, html")
    add("--out", type=Path, metavar="FILE", help="write there instead of printing")
    _add_selection(parser)


def _add_diff(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "diff",
        help="ask both controllers the same requests and show where their answers differ",
        description="Makes requests from the rules of your own Ingresses and sends them to two addresses, with the "
        "host of the rule as Host and SNI. Only GET, HEAD and OPTIONS, only to those two addresses; redirects are not "
        "followed. A URL without a port stands for ports 80 and 443; http://ADDRESS:8080,https://ADDRESS:8443 names "
        "both. Exit code 1 where answers differ.",
    )
    add = parser.add_argument
    add("old", metavar="OLD_URL", help="address of ingress-nginx")
    add("new", metavar="NEW_URL", help="address of Headrace")
    _add_source(parser)
    add("--output", choices=("table", "json"), default="table", help="table for people (default), json for scripts")
    _add_requests(parser)
    _add_comparison(parser)
    _add_selection(parser)


def _add_requests(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("which requests").add_argument
    more = "a host to ask besides those of the rules, for wildcards and rules without a host; may be repeated"
    add("--host-header", action="append", default=[], metavar="HOST", help=more)
    fitting = "only rules whose HOST/PATH fits this pattern of * and ?; may be repeated"
    add("--include", action="append", default=[], metavar="PATTERN", help=fitting)
    fitting = "no rules whose HOST/PATH fits; may be repeated"
    add("--exclude", action="append", default=[], metavar="PATTERN", help=fitting)
    add("--only", choices=("http", "https"), help="one scheme (default: both)")
    add(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent with each request; may be repeated"
    )
    add("--rate", type=float, default=20.0, metavar="N", help="requests a second to each side (default: 20)")
    add("--concurrency", type=int, default=4, metavar="N", help="requests at the same time (default: 4)")
    add("--timeout", type=float, default=10.0, metavar="SEC", help="for one answer (default: 10)")
    add("--dry-run", action="store_true", help="list the requests, send none")


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is compared").add_argument
    add("--ignore-header", action="append", default=[], metavar="NAME", help="a header of answers; may be repeated")
    add("--backend-header", default="", metavar="NAME", help="header of answers that names the backend")
    body = "expression whose first group in the body names the backend; else bodies are compared as a whole"
    add("--backend-body", default="", metavar="EXPRESSION", help=body)
    add("--ignore-body", action="store_true", help="do not compare bodies")


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("directory", type=Path, nargs="?", metavar="DIR", help="directory of YAML or JSON files")
    source.add_argument("--kubeconfig", metavar="FILE", help="read the cluster of this kubeconfig")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    before = set(parser._actions)
    add_selection_flags(parser)
    for action in set(parser._actions) - before:
        action.default = argparse.SUPPRESS
