"""Denied paths stay hidden below a writable bind, whatever is renamed; podsh's own always are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

UNREADABLE = ("EACCES", "ENOENT", "no")
# a mount point, or another mount
PINNED = ("EBUSY", "EXDEV", "EACCES")

DENIED = (
    Row("read_denied", UNREADABLE),
    Row("list_denied", UNREADABLE),
    Row("read_denied_file", UNREADABLE),
    Row("write_denied", ("EROFS", "EACCES", "ENOENT")),
    Row("rename_denied", PINNED),
    Row("rename_parent", PINNED),
    Row("rename_grandparent", PINNED),
    Row("rename_file_mask", PINNED),
    Row("exchange_parent", PINNED),
    Row("remove_denied", PINNED),
    Row("unlink_denied_file", PINNED),
    Row("hardlink_denied_file", (*PINNED, "EPERM")),
    Row("replace_parent_by_link", PINNED),
)

OWN = (
    Row("own_directories", UNREADABLE),
    Row("write_own_profile", ("EROFS", "EACCES", "ENOENT")),
    Row("portal_socket", ("ENOENT", "EACCES", "ECONNREFUSED")),
)


@pytest.mark.parametrize("row", DENIED, ids=lambda row: row.name)
def test_denied(row: Row, yard: Yard) -> None:
    yard.check("hidden", DENIED, row, options=("-p", "hides"))


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.name)
def test_own(row: Row, yard: Yard) -> None:
    yard.check("hidden", OWN, row)


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.name)
def test_own_below_a_writable_bind(row: Row, yard: Yard) -> None:
    """``--rw`` of a directory above all of podsh's own does not show them."""
    yard.check("hidden", OWN, row, options=("--rw", str(yard.podsh.base)))


def test_host_is_untouched(yard: Yard) -> None:
    """After all of the above, the denied files are as they were."""
    tree = yard.top / "tree"
    assert sorted(path.name for path in tree.joinpath("keep").iterdir()) == ["deep", "file.key"]
    assert sorted(path.name for path in tree.joinpath("keep/deep").iterdir()) == ["secret"]
