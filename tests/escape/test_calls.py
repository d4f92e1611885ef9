"""System calls that no pod gets, and those of a foreign ABI."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import BARRED, KILLED, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

X86 = platform.machine() == "x86_64"

ROWS = (
    *((Row("i386_getpid", KILLED),) if X86 else ()),
    *((Row("x32_getpid", KILLED, may_lack=True),) if X86 else ()),
    *((Row("x32_high_mount", KILLED, may_lack=True),) if X86 else ()),
    Row("io_uring_setup", BARRED, may_lack=True),
    Row("io_uring_enter", BARRED, may_lack=True),
    Row("io_uring_register", BARRED, may_lack=True),
    Row("bpf", BARRED, "root"),
    Row("perf_event_open", BARRED, "root"),
    Row("userfaultfd", BARRED, may_lack=True),
    Row("keyctl", BARRED),
    Row("add_key", BARRED),
    Row("request_key", BARRED),
    Row("kexec_load", BARRED, "root", may_lack=True),
    Row("kexec_file_load", BARRED, "root", may_lack=True),
    Row("init_module", BARRED, "root", may_lack=True),
    Row("finit_module", BARRED, "root", may_lack=True),
    Row("delete_module", BARRED, "root", may_lack=True),
    Row("reboot", BARRED, "root"),
    Row("swapon", BARRED, "root", may_lack=True),
    Row("swapoff", BARRED, "root", may_lack=True),
    Row("acct", BARRED, "root", may_lack=True),
    Row("settimeofday", BARRED),
    Row("clock_settime", BARRED),
    Row("adjtimex", BARRED, "root"),
    Row("quotactl", BARRED, may_lack=True),
    Row("vhangup", BARRED, "root"),
    Row("open_by_handle_at", BARRED),
    Row("high_bits_of_number", BARRED, may_lack=True),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_calls(row: Row, yard: Yard) -> None:
    yard.check("calls", ROWS, row)
