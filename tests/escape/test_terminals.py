"""Terminals: the launcher's is not there, and none can be typed into."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import ABSENT, NOTHING, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

REFUSED = ("EPERM",)

ROWS = (
    Row("tiocsti", REFUSED),
    Row("tiocsti_high_bits", REFUSED),
    Row("tiocsti_new_session", REFUSED),
    Row("tioclinux", REFUSED),
    Row("tioclinux_high_bits", REFUSED),
    Row("tiocsetd", REFUSED),
    Row("host_terminal", ABSENT),
    Row("host_terminals", NOTHING, may_lack=True),
    Row("other_ptys", NOTHING),
    Row("controlling_terminal_is_host", NOTHING),
    Row("console", ABSENT, "root", may_lack=True),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_terminals(row: Row, yard: Yard) -> None:
    yard.check("terminals", ROWS, row, tty=True)
