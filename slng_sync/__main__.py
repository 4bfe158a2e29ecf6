"""Run the command ``slng-sync`` for ``python -m slng_sync``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
