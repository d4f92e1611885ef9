"""Processes outside do not exist, PID 1 cannot be touched, privileges cannot be had."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import BARRED, NOTHING, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

GONE = ("ESRCH",)

ROWS = (
    Row("kill_outside", GONE),
    Row("signal_outside_by_pidfd", GONE),
    Row("queue_signal_outside", GONE),
    Row("priority_of_outside", GONE),
    Row("limits_of_outside", GONE),
    Row("scheduler_of_outside", GONE),
    Row("see_outside", NOTHING),
    Row("trace_init", BARRED, "userns"),
    Row("trace_child", BARRED),
    Row("read_own_memory", BARRED),
    Row("write_own_memory", BARRED),
    Row("steal_descriptor_of_init", BARRED, "userns"),
    Row("compare_with_init", BARRED, "userns", may_lack=True),
    Row("kill_init", NOTHING),
    Row("capabilities", NOTHING),
    Row("may_gain_privileges", NOTHING),
    Row("unfiltered", NOTHING),
    # a uid that is not mapped is EINVAL
    Row("become_somebody", ("EPERM", "EINVAL"), "root"),
    Row("drop_groups", BARRED, "root"),
    Row("raise_priority", ("EPERM", "EACCES"), "root"),
    Row("dump_core_to_host", NOTHING),
    Row("ioperm", BARRED, "root", may_lack=True),
    Row("iopl", BARRED, "root", may_lack=True),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_processes(row: Row, yard: Yard) -> None:
    yard.check("processes", ROWS, row)


def test_kill_everything(yard: Yard) -> None:
    """kill(-1) ends the pod's own processes alone (outside it would end this suite)."""
    done = yard.podsh.pod("sh", "-c", "sleep 1000 & kill -KILL -1; wait; echo alone")
    assert (done.code, done.out) == (0, "alone\n"), done.err
    os.kill(yard.outsider, 0)


TRACED = tuple(row for row in ROWS if row.name in ("trace_init", "steal_descriptor_of_init"))


@pytest.mark.parametrize("row", TRACED, ids=lambda row: row.name)
def test_a_pod_that_may_trace(row: Row, yard: Yard) -> None:
    """Its own programs, and not its PID 1, which holds the way to the monitor."""
    yard.podsh.profile("tracer", 'extends = "base"\n[seccomp]\nptrace = true\n')
    options = ("-p", "tracer")
    assert yard.try_inside("processes", ["trace_child"], options)["trace_child"].how == "worked"
    yard.check("processes", TRACED, row, options=options)
