"""SECURITY.md: every promise and every lesson names a test, and these are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`(tests/\S+?\.py)::(\w+)`", TEXT)


def defined(path: Path) -> set[str]:
    tree = ast.parse(path.read_bytes())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_named_tests_are_there() -> None:
    assert len(NAMED) > 60
    missing = [
        f"{path}::{name}"
        for path, name in NAMED
        if not (ROOT / path).exists() or name not in defined(ROOT / path)
    ]
    assert not missing


def test_every_row_names_one() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    rows = [line for line in rows if not line.endswith("| test |")]
    assert len(rows) > 45
    assert not [line for line in rows if "::test_" not in line]


def test_every_file_of_escapes_is_named() -> None:
    files = {f"tests/escape/{path.name}" for path in (ROOT / "tests/escape").glob("test_*.py")}
    assert files <= {path for path, _ in NAMED}
