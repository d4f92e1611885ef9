"""A stand-in portal that floods: ``python -m tests.console.flood DIRECTORY RATE``, until its input
ends; then it prints how many events it sent, and how many seconds that took."""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from tests.console.portal import Portal


def main() -> None:
    """RATE events a second, on average, to whoever follows."""
    rate = int(sys.argv[2])
    with Portal(Path(sys.argv[1])) as portal:
        portal.pods = []
        print("ready", flush=True)
        while not portal.followed:
            if select.select([0], [], [], 0.01)[0]:
                return
        start = time.monotonic()
        sent, passed = 0, 0.0
        while not select.select([0], [], [], 0.005)[0]:
            passed = time.monotonic() - start
            while sent < passed * rate:
                sent += 1
                kind = ("transition", "denial", "grant", "note")[sent % 4]
                portal.event(
                    ev=kind, old="a", new="b", path=f"/x/{sent}", mode="read", pid=sent, text="x"
                )
        print(sent, passed, flush=True)


if __name__ == "__main__":
    main()
