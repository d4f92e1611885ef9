"""Modules stay small, and nothing is left for later."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder, patterns in (("podsh", ("*.py", "*.c", "*.h")), ("tests", ("*.py", "*.c")))
    for pattern in patterns
    for path in (ROOT / folder).rglob(pattern)
)
LEFT = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|raise NotImplemented" r"Error")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_size_and_leftovers(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 500, f"{len(lines)} lines: split it by what changes together"
    left = [f"{path}:{at}: {line.strip()}" for at, line in enumerate(lines, 1) if LEFT.search(line)]
    assert not left, "\n".join(left)
