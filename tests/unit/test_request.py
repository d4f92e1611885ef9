"""What a monitor remembers of who asks, for as long as nobody answers."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, ClassVar

from podsh.jail.wants import Want
from podsh.monitor import caller
from podsh.monitor.request import MAX_PROCESSES, Request
from podsh.policy.engine import Decision

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Call:
    pid = 1
    wants: ClassVar[list[Want]] = []

    def proceed(self) -> bool:
        return True

    def interrupt(self) -> bool:
        return True

    def alive(self) -> bool:
        return True


def test_one_process_after_the_other_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that are gone are forgotten; of the others, the last."""
    born = itertools.count(2)
    living: set[caller.Process] = set()

    def process(pid: int) -> caller.Process | None:
        if pid == Call.pid:
            who = caller.Process(next(born), 0)
            living.add(who) if who.pid % 100 == 0 else None
            return who
        return next((one for one in living if one.pid == pid), None)

    monkeypatch.setattr(caller, "process", process)
    fd = os.open(tmp_path, os.O_PATH)
    want = Want(str(tmp_path), "read", fd, True, True, "", ())
    request = Request(1, "pod", Call(), want, Decision("ask"), "domain")
    for _ in range(20 * MAX_PROCESSES):
        request.join(Call())
        request.calls.clear()
    kept = request.processes()
    assert len(kept) <= MAX_PROCESSES
    assert {one for one in living if one.pid > 19 * MAX_PROCESSES} <= {*kept}
    request.settle("gone")
    os.close(fd)
