"""Files overwritten before they go: what is left alone, what a cut-short removal goes on with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from podsh.portal import records
from podsh.portal.shred import MAX_PASSES, Shred

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shred", [Shred(1, False), Shred(7, True)])
def test_its_name_says_what_it_does(shred: Shred) -> None:
    again = Shred.named(str(shred))
    assert again is not None
    assert (again.passes, again.random) == (shred.passes, shred.random)


@pytest.mark.parametrize("name", ["", "a1b2", "zero", "zero.", "zero.x", "wipe.3"])
def test_other_names_are_none(name: str) -> None:
    assert Shred.named(name) is None


@pytest.mark.parametrize("passes", [0, -1, MAX_PASSES + 1])
def test_so_many_passes_are_refused(passes: int) -> None:
    with pytest.raises(ValueError, match="passes"):
        Shred(passes, False)


def test_whole_trees(tmp_path: Path) -> None:
    """The last name of a file takes its content; a link, a fifo and a hole have none."""
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d/a").write_text("secret")
    os.link(tree / "d/a", tree / "b")
    (tree / "kept").write_text("kept")
    os.link(tree / "kept", tmp_path / "elsewhere")
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tree / "fifo")
    with (tree / "hole").open("wb") as file:
        file.truncate(1 << 40)
    with (tree / "b").open() as held:
        shred = Shred(2, False)
        records.remove_tree(str(tree), shred)
        assert held.read() == "\0" * 6
    assert not tree.exists()
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert shred.notes() == [
        "1 file has another name outside of the pod's state, and was left as it is"
    ]
