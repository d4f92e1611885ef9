"""Host files: what no bind shows does not exist, what is shown read-only stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import ABSENT, NOTHING, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

ROFS = ("EROFS",)
# another mount, or a read-only one, whichever the kernel notices first
ACROSS = ("EXDEV", "EROFS", "EPERM")

ROWS = (
    Row("read_secret", ABSENT),
    Row("read_secret_dotdot", ABSENT),
    Row("read_secret_by_link", ABSENT),
    Row("read_secret_by_own_link", ABSENT),
    Row("above_by_link", (*ABSENT, "EACCES")),
    Row("above_by_dotdot", (*ABSENT, "EACCES")),
    Row("above_by_descriptor", (*ABSENT, "EACCES")),
    Row("list_home", NOTHING),
    Row("hardlink_secret", ABSENT),
    Row("hardlink_read_only", ACROSS),
    Row("write_read_only", ROFS),
    Row("create_in_read_only", ROFS),
    Row("chmod_read_only", ROFS),
    Row("touch_read_only", ROFS),
    Row("truncate_read_only", ROFS),
    Row("xattr_read_only", ROFS),
    Row("rename_in_read_only", ROFS),
    Row("move_out_of_read_only", ACROSS),
    Row("exchange_with_read_only", ACROSS),
    Row("reopen_for_writing", ROFS),
    Row("map_shared_writable", ROFS),
    Row("unlink_read_only", ROFS),
    Row("write_system", ("EROFS", "EACCES"), "root"),
    Row("write_root_directory", ("EROFS", "EACCES"), "root"),
    Row("read_shadow", (*ABSENT, "EACCES"), "root"),
    Row("open_by_handle", ("EPERM", "ENOSYS"), "root"),
    Row("sockets_of_the_host", NOTHING),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_files(row: Row, yard: Yard) -> None:
    yard.check("files", ROWS, row)
