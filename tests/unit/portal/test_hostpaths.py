"""The host's paths without links: the same as the kernel says, also after the host has changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from podsh.portal.hostpaths import HostPaths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/x").write_text("")
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "abs").symlink_to(tmp_path / "usr")
    (tmp_path / "up").symlink_to("usr/lib/../lib/x")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere/at/all")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["usr/lib/x", "lib/x", "abs/lib", "abs/lib/x", "up", "lib/../lib/x", "usr//./lib"]
)
def test_as_the_kernel_follows_them(tree: Path, name: str) -> None:
    assert HostPaths().real(f"{tree}/{name}") == (os.path.realpath(tree / name), True)


def test_what_is_not_there_is_followed_as_far_as_it_is(tree: Path) -> None:
    paths = HostPaths()
    assert paths.real(f"{tree}/lib/y/z") == (f"{tree}/usr/lib/y/z", False)
    assert paths.real(f"{tree}/gone/z") == (f"{tree}/nowhere/at/all/z", False)
    assert paths.real(f"{tree}/usr/lib/x/y") == (f"{tree}/usr/lib/x/y", False)
    assert paths.real(f"{tree}/loop/y")[1] is False


def test_changes_are_seen_after_a_refresh(tree: Path) -> None:
    paths = HostPaths()
    assert paths.real(f"{tree}/lib/x") == (f"{tree}/usr/lib/x", True)
    assert paths.real(f"{tree}/late") == (f"{tree}/late", False)
    known = paths.generation
    (tree / "unrelated").write_text("")
    paths.refresh()
    assert paths.generation == known
    (tree / "late").symlink_to("usr")
    (tree / "lib").unlink()
    (tree / "lib").symlink_to("abs")
    paths.refresh()
    assert paths.generation > known
    assert paths.real(f"{tree}/late") == (f"{tree}/usr", True)
    assert paths.real(f"{tree}/lib/x") == (f"{tree}/usr/x", False)
