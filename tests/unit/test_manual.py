"""The manual pages and ``help``: whole, true to the registry and the readers, valid for man."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from podsh.commands.context import Context
from podsh.commands.dispatch import execute
from podsh.commands.help import help_text
from podsh.commands.manual import pages
from podsh.commands.registry import commands
from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("podsh.1", "podsh.profile.5", "podsh.pod.5")


def rendered(name: str, directory: Path) -> str:
    """The page as text, one space between words; whoever complains of it fails the test."""
    path = directory / name
    path.write_text(pages()[name])
    for judge in (
        [needs_program("groff"), "-man", "-Tutf8", "-ww", "-z", str(path)],
        [needs_program("mandoc"), "-Tlint", "-Wwarning", str(path)],
    ):
        done = subprocess.run(judge, capture_output=True, text=True, timeout=60, check=False)
        assert not done.stdout + done.stderr
    man = [needs_program("man"), "-l", "--no-hyphenation", "--no-justification", str(path)]
    env = {"MANPAGER": "cat", "MANWIDTH": "1000", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    text = subprocess.run(
        man, env=env, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_valid(name: str, tmp_path: Path) -> None:
    assert f"{name.rpartition('.')[0].upper()}(" in rendered(name, tmp_path)


def test_every_command_and_option(tmp_path: Path) -> None:
    text = rendered("podsh.1", tmp_path)
    for command in commands():
        assert command.help[1:].rstrip(".") in text.replace("...", "…"), command.name
        assert f"podsh {command.example}" in text
        for option in command.options:
            term = ", ".join(option.names) + option.shown
            assert f" {term} " in text, (command.name, term)


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_help_of_a_command(command: object) -> None:
    text = help_text(command)  # type: ignore[arg-type]  # parametrized by commands()
    assert "example" in text
    assert max(map(len, text.splitlines())) <= 98


def test_help_is_the_same_by_either_word(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for words in (["help", "ps"], ["ps", "--help"], ["ps", "-h"]):
        assert execute(words, Context("shell")) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2] != ""
