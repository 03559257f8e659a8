"""`python -m controller`: the same as the command `headrace`."""

import sys

from controller.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
