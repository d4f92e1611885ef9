"""A program that `podsh exec` adds to a live pod is as confined as the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape import (
    test_calls,
    test_devices,
    test_files,
    test_mounts,
    test_namespaces,
    test_processes,
    test_procfs,
    test_setid,
)

if TYPE_CHECKING:
    from tests.escape.yard import Row, Yard
    from tests.helpers.runner import Podsh

# the controls are those of the modules' own tests
TABLES = {
    "calls": test_calls.ROWS,
    "devices": test_devices.ROWS,
    "files": test_files.ROWS,
    "mounts": test_mounts.ROWS,
    "namespaces": test_namespaces.ROWS,
    "processes": test_processes.ROWS,
    "procfs": test_procfs.ROWS,
    "setid": test_setid.ROWS,
}


@pytest.mark.parametrize("module", TABLES)
def test_exec(module: str, yard: Yard, podsh: Podsh) -> None:
    rows: tuple[Row, ...] = TABLES[module]
    if module == "setid" and podsh.caller.name == "root":
        rows += test_setid.ROOT_ROWS
    # another program is there, and is no secret
    rows = tuple(row for row in rows if row.name != "other_processes")
    with yard.pod() as name:
        verdicts = yard.try_by_exec(name, module, [row.name for row in rows])
    wrong = {
        row.name: verdicts[row.name] for row in rows if verdicts[row.name].how not in row.refused
    }
    assert not wrong
