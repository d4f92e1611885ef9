"""Pages of Python's objects: what a forked process copied and left as it was is shared again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# many objects, each counted once more for a moment; some are kept, and some changed for good
CHILD = """
import os, sys
from podsh.kernel.pages import Pages

def private_kib():
    rows = open("/proc/self/smaps_rollup").read().split("\\n")
    return next(int(row.split()[1]) for row in rows if row.startswith("Private_Dirty:"))

objects = [bytes([n & 255]) * 40 for n in range(100_000)]
numbers = [{"number": n} for n in range(10_000)]
pages = Pages()
child = os.fork()
if child == 0:
    try:
        copy = list(objects)
        changed = [dict(each, more=str(each)) for each in numbers[::2]]
        for each in numbers[::3]:
            each["number"] += 1
        del copy
        before = private_kib()
        pages.give_back()
        after = private_kib()
        pages.give_back()
        assert objects == [bytes([n & 255]) * 40 for n in range(100_000)]
        assert [each["number"] for each in numbers] == [n + (n % 3 == 0) for n in range(10_000)]
        assert changed == [{"number": n, "more": str({"number": n})} for n in range(0, 10_000, 2)]
        # all goes on, with what is made and what is dropped
        del objects[::2], changed
        more = [str(n) * 3 for n in range(50_000)]
        pages.give_back()
        assert more[-1] == "499994999949999"
        print(before, after, flush=True)
        os._exit(0)
    finally:
        os._exit(1)
_, status = os.waitpid(child, 0)
assert objects[300] == bytes([300 & 255]) * 40 and numbers[3] == {"number": 3}
sys.exit(status)
"""


def test_give_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    # the objects that were only counted: 100,000 of 80 bytes
    assert before - after > 7000, (before, after)
