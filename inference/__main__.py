"""Starts the command line: `python -m inference --help`."""

import sys

from inference.cli import main

if __name__ == "__main__":
    sys.exit(main())
