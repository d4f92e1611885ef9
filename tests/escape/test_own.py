"""What every pod has of podsh, the shim's cookie, and the newest ways to namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.kernel import shim
from tests.escape.yard import ABSENT, BARRED, Row
from tests.helpers import callers

if TYPE_CHECKING:
    from tests.escape.yard import Yard

# read-only, not the caller's, or in use
FIXED = ("EACCES", "EROFS", "EPERM", "ETXTBSY")
PINNED = (*FIXED, "EBUSY", "EXDEV")

ROWS = (
    Row("write_page", FIXED),
    Row("map_page", FIXED),
    Row("reopen_page", FIXED),
    Row("chmod_page", FIXED),
    Row("truncate_page", FIXED),
    Row("write_shim", FIXED),
    Row("write_kage", FIXED),
    Row("chmod_kage", FIXED),
    Row("plant_library", FIXED),
    Row("move_aside", PINNED),
    Row("connect_with_cookie", ("ENOENT", "ECONNREFUSED")),
    Row("open_with_cookie", ABSENT),
    Row("unshare_with_cookie", (*BARRED, "ENOSPC")),
    Row("own_listener", ("EBUSY", *BARRED)),
    Row("namespace_of_init", ("EACCES", *BARRED), "userns", may_lack=True),
    Row("next_mount_namespace", BARRED, "root", may_lack=True),
)
ROOT_ROWS = (Row("setid_with_cookie", BARRED), Row("setid_file_with_cookie", BARRED))


@pytest.fixture
def knowing(yard: Yard) -> Yard:
    # as a C long holds it
    yard.facts["cookie"] = shim.COOKIE - (shim.COOKIE >> 63 << 64)
    return yard


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_own(row: Row, knowing: Yard) -> None:
    knowing.check("own", ROWS, row)


@pytest.mark.parametrize("row", ROWS[-2:], ids=lambda row: row.name)
def test_with_ptrace(row: Row, knowing: Yard) -> None:
    """Who may trace the pod's programs still gets nothing of its PID 1."""
    knowing.podsh.profile("tracer", 'extends = "base"\n[seccomp]\nptrace = true\n')
    knowing.refuses("own", ROWS[-2:], row, options=("-p", "tracer"))


@pytest.mark.parametrize("caller", [n for n in callers.names() if n == "root"], indirect=True)
@pytest.mark.parametrize("row", ROOT_ROWS, ids=lambda row: row.name)
def test_root_makes_no_setid_file(row: Row, knowing: Yard) -> None:
    knowing.check("own", ROOT_ROWS, row)
