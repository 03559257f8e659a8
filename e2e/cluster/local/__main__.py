"""A local cluster for development: it stays until `down`, and tests use it instead of starting one.

python -m e2e.cluster.local prepare         install, build and fetch what `up` needs: minutes the first time
python -m e2e.cluster.local up              start it, or give the running one the present images
eval "$(python -m e2e.cluster.local env)"   KUBECONFIG, and PATH with kubectl and helm
python -m e2e.cluster.local load FILE       load an image archive (`docker save`)
python -m e2e.cluster.local enter COMMAND   run a command in the node's namespaces
python -m e2e.cluster.local down            end it and remove all of it
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.local import frame, provider
from e2e.cluster.local.layout import NODE_ADDRESS, Layout, default_layout
from e2e.controlplane import build


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first word says."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.cluster.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["prepare", "up", "env", "load", "enter", "down"])
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    layout = default_layout()
    if options.verb not in ("prepare", "up") and not frame.is_running(layout):
        print("no cluster is running", file=sys.stderr)
        frame.close_frame(layout)  # what a crash may have left
        return int(options.verb != "down")
    _do(options.verb, options.rest, layout)
    return 0


def _do(verb: str, rest: Sequence[str], layout: Layout) -> None:
    started = time.monotonic()
    match verb:
        case "prepare":
            provider.prepare()
        case "up":
            provider.start(layout, provider.prepare(), detached=True)
        case "down":
            frame.close_frame(layout)
        case "load":
            for archive in rest:
                provider.load(layout, Path(archive).absolute())
        case "enter":
            command = [*frame.enter_command(layout), *rest]
            os.execvp(command[0], command)
        case "env":
            print(f"export KUBECONFIG={layout.kubeconfig} HEADRACE_E2E_NODE_ADDRESS={NODE_ADDRESS}")
            print(f"export PATH={build.binaries()}:{build.binaries(('helm',))}:$PATH")
            return
    print(f"e2e cluster: {verb} done in {time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
