"""Device nodes: only the handful that programs need; none can be made, moved or planted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import ABSENT, BARRED, NOTHING, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

# the nodes are bound read-only; an ordinary user does not own them either
FIXED = ("EROFS", "EPERM", "EACCES")

ROWS = (
    Row("make_null", BARRED, "root"),
    Row("make_memory", BARRED, "root"),
    Row("make_in_project", BARRED, "root"),
    Row("make_disk", BARRED, "root", may_lack=True),
    Row("use_planted", ("EACCES", "ENOENT"), may_lack=True),
    Row("unexpected", NOTHING),
    Row("chmod_null", FIXED, "root"),
    Row("touch_tty", FIXED, "root"),
    Row("plant_in_dev", FIXED, "root"),
    Row("kvm", ABSENT, "root", may_lack=True),
    Row("fuse", ABSENT, "root", may_lack=True),
    Row("random_reseed", (*FIXED, "ENOSYS"), "root"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_devices(row: Row, yard: Yard) -> None:
    yard.check("devices", ROWS, row)
