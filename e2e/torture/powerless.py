"""The controller as another user than root: `python -m e2e.torture.powerless run ...`.

That user may read everything (CAP_DAC_READ_SEARCH, capabilities(7)), Python's own files above all, wherever they are;
it may write and remove only what is its own.
"""

from __future__ import annotations

import os
import sys

USER = 65_534
POWERS = "+dac_read_search"

if __name__ == "__main__":
    become = [
        f"--reuid={USER}",
        f"--regid={USER}",
        "--clear-groups",
        f"--inh-caps={POWERS}",
        f"--ambient-caps={POWERS}",
    ]
    command = ["setpriv", *become, sys.executable, "-m", "controller", *sys.argv[1:]]
    os.execvp(command[0], command)
