"""What there is, is documented: keys of profiles in the manual, commands in the README."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from podsh.commands.examples import MORE
from podsh.commands.manual import pages
from podsh.commands.registry import commands, find
from podsh.commands.script import split
from podsh.commands.syntax import parse
from podsh.profiles import keys, pod, toml

ROOT = Path(__file__).resolve().parents[2]
# for the stubs in completions/, not for people
HIDDEN = {"complete"}


def test_every_key_of_profiles() -> None:
    tables = {name: set(known) for name, known in toml.TABLES.items()}
    tables["fs.bind"] = set(toml.BIND)
    tables[""] = set(toml.TOP) - set(toml.TABLES)
    assert {name: set(entries) for name, (_, entries) in keys.TABLES.items()} == tables
    page = pages()["podsh.profile.5"]
    for _, entries in keys.TABLES.values():
        for key in entries:
            assert f"\\fB{key}\\fR = " in page


def test_every_word_of_pod_files() -> None:
    assert set(keys.WORDS) == set(pod.HANDLERS)
    for line, _ in keys.WORDS.values():
        assert line.split(" ")[0].replace("-", "\\-") in pages()["podsh.pod.5"]


def table() -> str:
    """The README's table of commands."""
    text = (ROOT / "README.md").read_text()
    return text.split("\n## Commands\n", 1)[1].split("\n## ", 1)[0].replace("\\|", "|")


@pytest.mark.parametrize("command", commands(), ids=lambda command: str(command.name))
def test_every_command_is_in_the_readme(command: object) -> None:
    name = getattr(command, "name", "")
    first, _, second = name.partition(" ")
    rows = [line for line in table().splitlines() if f"`{first}" in line]
    assert name in HIDDEN or any(re.search(rf"\b{second}\b", row) for row in rows), name


def test_every_room_is_in_the_architecture() -> None:
    text = (ROOT / "README.md").read_text().split("\n## Architecture\n", 1)[1].split("\n## ", 1)[0]
    rooms = {path.parent.name for path in (ROOT / "podsh").glob("*/__init__.py")}
    assert rooms
    assert {room for room in rooms if f"`{room}`" in text} == rooms


def test_every_library_is_in_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text().split("\n### Libraries\n", 1)[1].split("\n## ", 1)[0]
    for dependency in project["dependencies"]:
        assert re.match(r"[\w-]+", dependency).group() in text  # type: ignore[union-attr]  # a name


def test_every_example_is_a_command() -> None:
    names = {command.name for command in commands()}
    assert set(MORE) <= names
    for name, (_, examples) in MORE.items():
        for line, what in examples:
            assert what
            found, rest = find(split(line, {"REQ": "7"}))
            assert found.name == name
            parse(found, rest)
