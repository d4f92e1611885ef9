"""``python -m podsh``."""

from __future__ import annotations

import sys

from podsh.cli import main

if __name__ == "__main__":
    sys.exit(main())
