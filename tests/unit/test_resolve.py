"""Host paths: walked once, links noted, patterns without regular expressions."""

from __future__ import annotations

import fnmatch
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.errors import LaunchFailed
from podsh.globs import matches
from podsh.jail.resolve import Names, below, expand, find

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = st.text("ab*?.", max_size=12)


@given(LETTERS.map(lambda text: text.replace("*", "c").replace("?", "d")), LETTERS)
def test_patterns_match_as_shells_match(name: str, pattern: str) -> None:
    assert matches(name, pattern) == fnmatch.fnmatchcase(name, pattern)


def test_expand(tmp_path: Path) -> None:
    for name in ("a/k1", "a/k2", "b/k1", ".c/k3"):
        (tmp_path / name).mkdir(parents=True)
    assert sorted(expand(f"{tmp_path}/*/k?", Names())) == [
        f"{tmp_path}/{name}" for name in (".c/k3", "a/k1", "a/k2", "b/k1")
    ]
    assert expand(f"{tmp_path}/none", Names()) == [f"{tmp_path}/none"]
    assert expand(f"{tmp_path}/x*/y", Names()) == []


def test_links_on_the_way_are_followed_and_noted(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/f").write_text("x")
    (tmp_path / "one").symlink_to("real")
    (tmp_path / "real/two").symlink_to(f"{tmp_path}/one/./deep/../deep")
    found = find(f"{tmp_path}/one/two/f")
    assert found is not None
    with os.fdopen(os.open(f"/proc/self/fd/{found.fd}", os.O_RDONLY)) as file:
        assert file.read() == "x"
    os.close(found.fd)
    assert found.path == f"{tmp_path}/real/deep/f"
    assert [link for link, _ in found.links] == [
        f"{tmp_path}/one",
        f"{tmp_path}/real/two",
        f"{tmp_path}/one",
    ]


def test_nothing_there_is_none_and_a_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert find(f"{tmp_path}/none/x") is None
    assert find(f"{tmp_path}/dangling") is None
    with pytest.raises(LaunchFailed, match="too many levels of links"):
        find(f"{tmp_path}/loop")


def test_below_is_by_component() -> None:
    assert below("/a/b", "/a")
    assert not below("/ab", "/a")
    assert not below("/a", "/a")
    assert below("/a", "/")


def test_names_rule_out_what_is_not_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_text("x")
    names = Names()
    assert names.may_have(f"{tmp_path}/a/b")
    assert not names.may_have(f"{tmp_path}/a/c")
    assert not names.may_have(f"{tmp_path}/no/such/place")
    assert not names.may_have(f"{tmp_path}/a/b/below-a-file")
    assert names.may_have("/proc/1/fd/0") or os.getuid() == 0  # unreadable: cannot be ruled out
