"""The mount table is podsh's: old calls and new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import BARRED, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

ROWS = (
    Row("mount_tmpfs", BARRED, "userns"),
    Row("mount_proc", BARRED, "userns"),
    Row("mount_sysfs", BARRED, "userns"),
    Row("mount_bind", BARRED, "userns"),
    Row("mount_overlay", BARRED, "userns"),
    Row("mount_move", BARRED, "userns"),
    Row("remount_writable", BARRED, "userns"),
    Row("remount_root", BARRED, "userns"),
    Row("make_private", BARRED, "userns"),
    Row("umount", BARRED, "userns"),
    Row("umount_mask", BARRED, "userns"),
    Row("pivot_root", BARRED, "userns"),
    Row("chroot", BARRED, "userns"),
    Row("open_tree_clone", BARRED, "userns"),
    Row("open_tree_plain", BARRED),
    Row("open_tree_attr", BARRED, "userns", may_lack=True),
    Row("fsopen", BARRED, "userns"),
    Row("fsconfig", BARRED),
    Row("fsmount", BARRED, "userns"),
    Row("fspick", BARRED, "userns"),
    Row("move_mount", BARRED, "userns"),
    Row("mount_setattr", BARRED, "userns"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_mounts(row: Row, yard: Yard) -> None:
    yard.check("mounts", ROWS, row)
