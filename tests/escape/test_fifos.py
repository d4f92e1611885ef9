"""Fifos: what is shown is usable, read-only or not, as SECURITY.md says; others are not there."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh


@pytest.mark.parametrize("option", ["--ro", "--rw"])
def test_a_fifo_below_a_bind_is_usable_and_none_elsewhere(podsh: Podsh, option: str) -> None:
    shown, other = podsh.directory("fifos/shown"), podsh.directory("fifos/other")
    for directory in (shown, other):
        if not (directory / "fifo").exists():
            os.mkfifo(directory / "fifo")
            podsh.caller.own(directory / "fifo")
    reader = podsh.start("cat", str(shown / "fifo"), raw=True)
    options = (option, str(shown))
    done = podsh.pod("sh", "-c", f"echo out > {shown}/fifo", options=options)
    assert done.code == 0, done.err
    assert reader.communicate(timeout=20)[0] == b"out\n"
    # the same outside of what is shown, and outside of the pod
    hidden = f"echo out > {other}/fifo"
    assert podsh.pod("sh", "-c", hidden, options=options).code != 0
    reader = podsh.start("cat", str(other / "fifo"), raw=True, stderr=subprocess.DEVNULL)
    assert podsh.outside("sh", "-c", hidden).code == 0
    assert reader.communicate(timeout=20)[0] == b"out\n"
