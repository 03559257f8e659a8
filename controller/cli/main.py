"""The command line: parses, runs one command, turns faults into exit codes.

Exit codes: 0 fine, 1 problems found, 2 wrong use. Each command is a module of its own and is loaded only when it is
asked for, so that `headrace lint` does not load the Kubernetes client.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from controller.cli.flags import add_run_flags, add_selection_flags
from controller.cli.migrate_flags import add_migrate
from controller.model.errors import HeadraceError, UsageError
from controller.version import __version__

FINE, PROBLEMS, WRONG_USE = 0, 1, 2

_DESCRIPTION = """\
Headrace is a Kubernetes Ingress controller on stock nginx. It watches Ingress objects, writes an nginx configuration
and sends traffic straight to pods.

  headrace run --manifests examples --http-port 8080 --https-port 8443     without a cluster
  headrace run --kubeconfig ~/.kube/config --http-port 8080 --https-port 8443
  headrace lint manifests/            what is wrong, and what traffic does
  headrace explain http://shop.example.com/cart --manifests manifests/
  headrace migrate report --kubeconfig ~/.kube/config                     coming from ingress-nginx
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if not args.command:
        parser.print_help()
        return WRONG_USE
    if args.command == "run":
        # Process 1 of a container is deaf to SIGTERM until it says otherwise; nothing has been started yet.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(FINE))
    try:
        code: int = import_module(f"controller.cli.{args.command}").run(args)
        return code
    except UsageError as error:
        print(f"headrace {args.command}: {error}", file=sys.stderr)
        return WRONG_USE
    except HeadraceError as error:
        print(f"headrace {args.command}: {error}", file=sys.stderr)
        return PROBLEMS
    except BrokenPipeError:
        sys.stderr.close()
        return FINE


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"headrace {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_run(commands)
    _add_render(commands)
    _add_lint(commands)
    _add_explain(commands)
    add_migrate(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run",
        usage="headrace run [--manifests DIR | --kubeconfig FILE] [FLAGS]",
        help="run the controller and its nginx",
        description="Runs the controller and its nginx until SIGTERM, which drains. Without --manifests and "
        "--kubeconfig it takes the cluster that it runs in. Flags have the names they had in ingress-nginx; "
        "those without a meaning here are accepted and named in the log.",
    )
    add_run_flags(parser)


def _add_render(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "render",
        help="show the nginx configuration of a set of manifests",
        description="Writes the nginx configuration that the manifests below DIR make, to standard output or to files.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of YAML or JSON files")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write files there instead of printing them")
    _add_common(parser)


def _add_lint(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "lint",
        help="say what is wrong with objects, and what traffic does",
        description="Reads objects from DIR or from a cluster (read-only) and says what is wrong with each, in which "
        "field, and what happens to traffic. Exit code 1 where there is an error or a warning.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("directory", type=Path, nargs="?", metavar="DIR", help="directory of YAML or JSON files")
    source.add_argument("--kubeconfig", metavar="FILE", help="read the cluster of this kubeconfig")
    _add_common(parser)


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "explain",
        help="say what answers a request, and why",
        description="Says which server, location, Service and pods answer a request, what lost against them and why. "
        "Objects come from --manifests or from a cluster (read-only).",
    )
    parser.add_argument("urls", nargs="+", metavar="URL", help="http:// or https:// URL as a client would ask it")
    parser.add_argument("--method", default="GET", help="request method (default: GET)")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="request header; may be repeated"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--manifests", type=Path, metavar="DIR", help="directory of YAML or JSON files")
    source.add_argument("--kubeconfig", default="", metavar="FILE", help="read the cluster of this kubeconfig")
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", choices=("text", "json"), default="text", help="text for people, json for scripts")
    add_selection_flags(parser)
