"""`python -m studies`."""

import sys

from studies.command_line.app import main

if __name__ == "__main__":
    sys.exit(main())
