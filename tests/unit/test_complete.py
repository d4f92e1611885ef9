"""Completion as a function of words and what there is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.commands.quoting import quoted
from podsh.commands.script import split
from podsh.console.complete import candidates, local_source, unfinished
from podsh.console.render import is_plain

if TYPE_CHECKING:
    from pathlib import Path

# of files
NAMES = st.binary(min_size=1).map(os.fsdecode)
THERE = {
    "pod": [("web", "running"), ("build", "exit 0")],
    "live": [("web", "running")],
    "profile": [("dev", ""), ("net", "")],
    "program": [("make", ""), ("man", "")],
    "path": [("src/", "")],
    "signal": [("TERM", "15"), ("INT", "2")],
    "request": [("7", "write ~/x, git in web"), ("12", "")],
}


def source(tag: str, _prefix: str) -> list[tuple[str, str]]:
    return THERE.get(tag, [])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("att", ["attach"]),
        ("attach ", ["web"]),
        ("rm ", ["web", "build"]),
        ("rm web ", ["web", "build"]),
        ("attach web ", []),
        ("run -p ", ["dev", "net"]),
        ("run --profile=d", ["--profile=dev"]),
        ("run --net ", ["none", "loop", "host", "user"]),
        ("run --ne", ["--net"]),
        ("run -d --de", []),
        ("run --ro x --r", ["--rm", "--ro", "--rw", "--raw"]),
        ("run ma", ["make", "man"]),
        ("run -n web -- ma", ["make", "man"]),
        ("run make s", ["src/"]),
        ("run make -", []),
        ("exec w", ["web"]),
        ("allow ", ["7", "12"]),
        ("allow 7 ", ["7", "12"]),
        ("allow 7 --save d", ["dev"]),
        ("deny --pod w", ["web"]),
        ("review 1", ["12"]),
        ("exec web -- m", ["make", "man"]),
        ("exec web m", ["make", "man"]),
        ("kill -s T", ["TERM"]),
        ("wait web ", ["exit", "request", "text:"]),
        ("run --x11 ", ["nested"]),
        ("run --x11=", ["--x11=nested"]),
        ("run --x11 --wayl", ["--wayland"]),
        ("profile ", ["list", "show", "check", "diff", "new", "edit"]),
        ("profile show d", ["dev"]),
        ("help pro", ["profile"]),
        ("nosuch ", []),
        ("nosuch x ", []),
        ("ps ", []),
    ],
)
def test_candidates(line: str, found: list[str]) -> None:
    words, _ = unfinished(line)
    assert [value for value, _ in candidates(words, source)] == found


def test_the_first_word_has_every_command_once() -> None:
    names = [value for value, _ in candidates([], source)]
    assert names.count("profile") == 1
    assert "run" in names


@pytest.mark.parametrize(
    ("line", "words", "typed"),
    [
        ("", [""], ""),
        ("run ", ["run", ""], ""),
        ("run -p de", ["run", "-p", "de"], "de"),
        ("run -p 'my pr", ["run", "-p", "my pr"], "'my pr"),
        ('a "b c" d\\ e', ["a", "b c", "d e"], "d\\ e"),
        ("a  b", ["a", "b"], "b"),
    ],
)
def test_unfinished(line: str, words: list[str], typed: str) -> None:
    assert unfinished(line) == (words, typed)


@given(st.text(max_size=30))
def test_unfinished_never_fails(line: str) -> None:
    words, typed = unfinished(line)
    assert words
    assert line.endswith(typed)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | NAMES)
def test_what_is_offered_is_read_back(word: str) -> None:
    shown = quoted(word)
    assert split(shown, {}) == [word]
    assert unfinished("run " + shown) == (["run", word], shown)
    assert all(map(is_plain, shown))


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / ".hidden").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_source("path", "") == [("dir/", ""), ("file", "")]
    assert local_source("path", ".h") == [(".hidden", "")]
    assert local_source("path", f"{tmp_path}/d") == [(f"{tmp_path}/dir/", "")]
    assert local_source("path", "~/f") == [("~/file", "")]
    assert local_source("dir", "") == [("dir/", "")]
    assert local_source("path", "nosuch/") == []


def test_programs_and_signals() -> None:
    assert ("sh", "") in local_source("program", "sh")
    assert local_source("program", "") == []
    assert ("TERM", "15") in local_source("signal", "")
