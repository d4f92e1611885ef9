"""The whole suite: ``python -m tests [PYTEST'S ARGUMENTS]``; without any, several tests at once.

Most tests wait for something most of the time, so there are more workers than processors. Each
is a suite of its own: portals, directories, what it looks for afterwards (tests/conftest.py).
"""

from __future__ import annotations

import os
import sys

MOST = 16


def main() -> None:
    """Becomes pytest."""
    workers = min(max(2 * len(os.sched_getaffinity(0)), 4), MOST)
    # a worker that has nothing left takes over tests of another
    arguments = sys.argv[1:] or ["-n", str(workers), "--dist", "worksteal"]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])


if __name__ == "__main__":
    main()
