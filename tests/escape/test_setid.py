"""Setuid files: root's pods cannot make one on the host, and none that is there has an effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import BARRED, NOTHING, Row
from tests.helpers import callers

if TYPE_CHECKING:
    from tests.escape.yard import Yard

# an ordinary user's pod can set the bit on its own files, for what that is worth
ROOT_ROWS = (
    Row("chmod", BARRED),
    Row("chmod_setgid", BARRED),
    Row("chmod_high_bits", BARRED),
    Row("fchmod", BARRED),
    Row("fchmodat", BARRED),
    Row("fchmodat2", BARRED, may_lack=True),
    Row("open_mode", BARRED),
    Row("openat_mode", BARRED),
    Row("openat2_mode", BARRED),
    Row("creat_mode", BARRED),
    Row("mknod_mode", BARRED),
    Row("mknodat_mode", BARRED),
    Row("tmpfile_mode", BARRED),
    Row("mkdir_setgid", BARRED),
)

ROWS = (
    Row("file_capability", BARRED, "root"),
    # an id that is not mapped is EINVAL
    Row("chown_away", ("EPERM", "EINVAL"), "root"),
    Row("execute_setuid", NOTHING),
)


@pytest.mark.parametrize("caller", [n for n in callers.names() if n == "root"], indirect=True)
@pytest.mark.parametrize("row", ROOT_ROWS, ids=lambda row: row.name)
def test_root_makes_none(row: Row, yard: Yard) -> None:
    yard.check("setid", ROOT_ROWS, row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_setid(row: Row, yard: Yard) -> None:
    yard.check("setid", ROWS, row)
