"""The sockets of portal, monitor and kage, spoken to in nearly right words by who may connect.

They go on, as the same processes, with as many descriptors as before, and have nothing to regret
in the log.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_life import portal_pid, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh

CLIENT = Path(__file__).with_name("client.py").read_text()
TARGET = "fuzz"


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd")) if os.getuid() == 0 else 0


def say(podsh: Podsh, kind: str, seed: int, count: int) -> None:
    words = ("-I", "-c", CLIENT, kind)
    if kind == "kage":
        argv = ("python3", *words, "/.podsh/kage.sock", str(seed), str(count))
        done = podsh.run("exec", TARGET, "--", *argv, timeout=100_000)
    else:
        runtime = podsh.runtime / "podsh"
        path = runtime / "portal.sock" if kind == "portal" else runtime / "monitors" / TARGET
        python = str(podsh.command.parent / "python")
        done = podsh.outside(python, *words, str(path), str(seed), str(count), timeout=100_000)
    assert done.code == 0, done.err
    assert int(done.out) >= count


def speak(podsh: Podsh, kind: str, seed: int, count: int) -> None:
    podsh.run("run", "-d", "-n", TARGET, "--", "sleep", "100000")
    before = row(podsh, TARGET)
    portal = portal_pid(podsh)
    say(podsh, kind, seed, 100)  # what is opened once, by whoever is first
    open_before = [descriptors(portal), descriptors(before["monitor_pid"])]
    log = podsh.state / "podsh/portal.log"
    size = log.stat().st_size
    say(podsh, kind, seed, count)
    after = row(podsh, TARGET)
    assert (after["monitor_pid"], after["state"]) == (before["monitor_pid"], "running")
    assert portal_pid(podsh) == portal
    assert podsh.run("exec", TARGET, "--", "echo", "in").out == "in\n"
    end = time.monotonic() + 20
    while True:
        now = [descriptors(portal), descriptors(before["monitor_pid"])]
        if all(new <= old + 2 for new, old in zip(now, open_before, strict=True)):
            break
        assert time.monotonic() < end, (open_before, now)
        time.sleep(0.1)
    with log.open("rb") as file:
        file.seek(size)
        said = file.read().decode(errors="replace")
    assert "Traceback" not in said, said[-3000:]
    podsh.run("kill", "-s", "KILL", TARGET)
    podsh.wait_state(TARGET, "exited")


@pytest.mark.parametrize("kind", ["portal", "monitor", "kage"])
def test_a_slice(make_podsh: Callable[[], Podsh], kind: str) -> None:
    speak(make_podsh(), kind, 1, 200 if kind == "kage" else 1500)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["portal", "monitor", "kage"])
def test_a_million(make_podsh: Callable[[], Podsh], kind: str) -> None:
    speak(make_podsh(), kind, int(os.environ.get("SEED", "2")), 1_000_000)
