"""The whole suite: ``python -m tests [PYTEST'S ARGUMENTS]``; without any, in two halves at once.

Most tests wait for something most of the time, so two halves take little longer than one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# with programs in real pods, start to end; about half of the time
FIRST = ("e2e",)


def main() -> int:
    """Pytest's exit code, of the worse half."""
    pytest = [sys.executable, "-m", "pytest"]
    if len(sys.argv) > 1:
        return subprocess.run([*pytest, *sys.argv[1:]]).returncode
    folders = {path.relative_to(HERE).parts[0] for path in HERE.rglob("test_*.py")}
    rest = [str(HERE / name) for name in sorted(folders.difference(FIRST))]
    with tempfile.TemporaryFile() as said:
        # one of them keeps what pytest remembers for --last-failed
        first = subprocess.Popen(
            [*pytest, "-p", "no:cacheprovider", *(str(HERE / name) for name in FIRST)], stdout=said
        )
        try:
            second = subprocess.run([*pytest, *rest]).returncode
            code = first.wait()
        except BaseException:
            first.terminate()
            first.wait()
            raise
        said.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return code or second


if __name__ == "__main__":
    sys.exit(main())
