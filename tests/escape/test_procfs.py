"""/proc: nothing of the launcher, nothing of the host, nothing to be changed; root's pods too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import BARRED, NOTHING, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

# PID 1 is not dumpable
CLOSED = ("EACCES", "EPERM")
SEALED = ("EROFS", "EACCES")
# an empty file of mode 000, or an empty directory, lies over it
MASKED = ("EACCES", "ENOENT", "no")

ROWS = (
    Row("init_environ", (*CLOSED, "no"), "userns"),
    Row("init_arguments", NOTHING, "userns"),
    Row("init_root", CLOSED, "userns"),
    Row("init_directory", CLOSED, "userns"),
    Row("init_descriptors", CLOSED, "userns"),
    Row("init_descriptor_open", CLOSED, "userns"),
    Row("init_descriptor_info", CLOSED, "userns"),
    Row("init_executable", CLOSED, "userns"),
    Row("init_memory", CLOSED, "userns"),
    Row("init_maps", CLOSED, "userns"),
    Row("init_namespaces", CLOSED, "userns"),
    Row("init_auxv", CLOSED, "userns"),
    Row("init_stack", CLOSED, "userns"),
    Row("other_processes", NOTHING),
    Row("sys_core_pattern", SEALED, "root"),
    Row("sys_modprobe", (*SEALED, "ENOENT"), "root", may_lack=True),
    Row("sys_hostname", SEALED, "root"),
    Row("sys_pid_max", SEALED, "root"),
    Row("sys_user_namespaces", SEALED, "userns"),
    Row("sys_remount", BARRED, "userns"),
    Row("sysrq_trigger", (*SEALED, "ENOENT"), "root", may_lack=True),
    Row("irq_affinity", (*SEALED, "ENOENT"), "root", may_lack=True),
    Row("kcore", MASKED, "root", may_lack=True),
    Row("keys", MASKED, "root", may_lack=True),
    Row("timer_list", MASKED, "root", may_lack=True),
    Row("acpi", MASKED, "root", may_lack=True),
    Row("scsi", MASKED, "root", may_lack=True),
    Row("bus_write", (*SEALED, "ENOENT"), "root", may_lack=True),
    Row("kernel_log", BARRED, "root"),
    Row("kmsg_file", (*CLOSED, "no"), "root"),
    Row("sysfs", ("ENOENT", "no")),
    Row("cgroup_files", ("ENOENT", "no"), may_lack=True),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_procfs(row: Row, yard: Yard) -> None:
    yard.check("procfs", ROWS, row)
