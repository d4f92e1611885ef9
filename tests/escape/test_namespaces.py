"""No new namespaces, no joining of others, and none shared with the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import ABSENT, BARRED, NOTHING, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

# max_user_namespaces is 0 where a filter lets it through
NO_MORE = (*BARRED, "ENOSPC")

ROWS = (
    Row("unshare_user", NO_MORE),
    Row("unshare_mnt", NO_MORE, "userns"),
    Row("unshare_pid", NO_MORE, "userns"),
    Row("unshare_net", NO_MORE, "userns"),
    Row("unshare_uts", NO_MORE, "userns"),
    Row("unshare_ipc", NO_MORE, "userns"),
    Row("unshare_cgroup", NO_MORE, "userns"),
    Row("unshare_time", NO_MORE, "userns"),
    Row("clone_user", NO_MORE),
    Row("clone_user_pid", NO_MORE),
    Row("clone_high_bits", NO_MORE),
    Row("clone3_user", NO_MORE),
    Row("setns_own", BARRED),
    Row("setns_pidfd", BARRED),
    Row("setns_init", (*BARRED, "EACCES"), "userns"),
    Row("set_hostname", BARRED, "userns"),
    Row("shares_hostname", NOTHING),
    Row("shares_ipc", ABSENT),
    Row("shares_message_queue", (*ABSENT, "ENOSYS")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_namespaces(row: Row, yard: Yard) -> None:
    yard.check("namespaces", ROWS, row)
