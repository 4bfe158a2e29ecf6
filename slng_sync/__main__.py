"""``python -m slng_sync`` is the command ``slng-sync``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
