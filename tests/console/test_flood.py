"""Typing while events flood: the console on a terminal, its portal in another process."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers import callers
from tests.helpers.install import ROOT
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

RATE = 5000
KEY_S = 0.003


@pytest.mark.parametrize(
    "count",
    [20, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(600)])],
)
def test_no_key_is_lost_in_a_flood(places: Path, count: int) -> None:
    """Lines typed straight on at 5,000 events a second."""
    env = {f"XDG_{name}": str(places) for name in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME")}
    env |= {
        "HOME": str(places),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
    }
    env |= {"PYTHONPATH": str(ROOT)}
    flood = subprocess.Popen(
        [sys.executable, "-m", "tests.console.flood", str(places), str(RATE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    me = callers.caller(callers.names()[0])
    argv = [sys.executable, "-m", "podsh"]
    with flood, Terminal(argv, me, env, str(ROOT), 40, 100) as t:
        assert flood.stdin is not None
        assert flood.stdout is not None
        t.expect("podsh>", 60)
        t.expect(r"transitions \(events web\)", 60)
        for index in range(count):
            for char in f"set A{index}=value-{index}-of-the-flood\r":
                t.send(char)
                end = time.monotonic() + KEY_S
                while (left := end - time.monotonic()) > 0:
                    t.pump(left)
        t.send("set B=typed\recho all-$B\r")
        t.expect("all-typed", 120)
        flood.stdin.close()
        sent, seconds = flood.stdout.read().split()[-2:]
        assert int(sent) >= RATE * float(seconds) * 0.99
        shown = len(re.findall(rb"a -> b", t.output))
        before = len(t.output)
        t.send("set\recho $B-end\r")
        t.expect("typed-end", 60)
        listed = set(re.findall(rb"A\d+=value-\d+-of-the-flood", t.output[before:]))
        t.send("quit\r")
        t.wait(60)
    assert listed == {f"A{index}=value-{index}-of-the-flood".encode() for index in range(count)}
    # coalesced on the screen
    assert 0 < shown < 200
