"""Import direction: every import statement of podsh, lazy ones too, against the table of rooms."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh.wire import messages
from tests.lint import rooms

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "podsh"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# the name to import, where the package on the index is called otherwise
DISTRIBUTIONS = {"prctl": "python-prctl"}


def module_of(path: Path) -> str:
    """``podsh/wire/framing.py`` -> ``wire.framing``"""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import; of ``from a import b`` it is ``a.b``."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write it in full"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_direction(path: Path) -> None:
    module = module_of(path)
    if path.name == "__init__.py":
        assert not path.read_bytes(), "an __init__.py is empty"
        return
    may = rooms.allowed(module)
    own = module.split(".")[0]
    wrong = []
    for line, name in imports(path):
        top, _, inner = name.partition(".")
        if top == "podsh":
            fine = own == inner.split(".")[0] or any(rooms.within(inner, room) for room in may)
        elif top in rooms.OUTSIDE:
            fine = any(rooms.within(module, room) for room in rooms.OUTSIDE[top])
        else:
            fine = top in sys.stdlib_module_names
        if not fine:
            wrong.append(f"podsh/{path.relative_to(PACKAGE)}:{line}: {module} imports {name}")
    assert not wrong, "\n".join([*wrong, f"it may import of podsh: {', '.join(may) or 'nothing'}"])


def test_every_room_exists() -> None:
    """The table names no room that went away."""
    modules = {module_of(path) for path in SOURCES}
    places = {place for place, _ in rooms.INSIDE} - {"__main__"}
    gone = {p for p in places if not any(rooms.within(module, p) for module in modules)}
    assert not gone


def test_dependencies_are_what_is_imported() -> None:
    """pyproject.toml asks for what podsh imports, no more and no less."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {dependency.split(">")[0] for dependency in project["dependencies"]}
    used = {
        name.split(".")[0]
        for path in SOURCES
        if path.name != "hatch_build.py"
        for _, name in imports(path)
    } - {"podsh"}
    used = {DISTRIBUTIONS.get(name, name) for name in used - sys.stdlib_module_names}
    assert asked == used


def test_one_version() -> None:
    """What the wire says is what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == messages.VERSION
