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


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd")) if os.getuid() == 0 else 0


def say(podsh: Podsh, kind: str, names: list[str], seed: int, count: int) -> None:
    """To all of them at a time. kage lets only so many in, in each pod: there are several."""
    words = ("-I", "-c", CLIENT, kind)
    runtime = podsh.runtime / "podsh"
    talks = []
    for number, name in enumerate(names):
        numbers = (str(seed + number), str(count // len(names)))
        if kind == "kage":
            inside = ("python3", *words, "/.podsh/kage.sock", *numbers)
            talks.append(podsh.start("exec", name, "--", *inside))
        else:
            path = runtime / "portal.sock" if kind == "portal" else runtime / "monitors" / name
            python = str(podsh.command.parent / "python")
            talks.append(podsh.start(python, *words, str(path), *numbers, raw=True))
    for talk in talks:
        out, err = talk.communicate(timeout=1500)
        assert talk.returncode == 0, err.decode()
        said, heard = map(int, out.split())
        assert said >= count // len(names)
        if said >= 1000:  # it is not a closed door that is spoken to
            assert heard > said // 20, (said, heard)
        print(f"{kind}: {said} said, {heard} answers")


def speak(podsh: Podsh, kind: str, seed: int, count: int, pods: int = 1) -> None:
    names = [f"fuzz{number}" for number in range(pods)]
    for name in names:
        podsh.run("run", "-d", "-n", name, "--", "sh", "-c", "trap '' HUP; sleep 100000")
    monitors = [row(podsh, name)["monitor_pid"] for name in names]
    portal = portal_pid(podsh)
    say(podsh, kind, names, seed, count // 5)  # what is opened once, by whoever is first
    before = [descriptors(pid) for pid in (portal, *monitors)]
    log = podsh.state / "podsh/portal.log"
    size = log.stat().st_size
    say(podsh, kind, names, seed + pods, count)
    assert portal_pid(podsh) == portal
    for name, monitor in zip(names, monitors, strict=True):
        after = row(podsh, name)
        assert (after["monitor_pid"], after["state"]) == (monitor, "running")
        assert podsh.run("exec", name, "--", "echo", "in").out == "in\n"
    end = time.monotonic() + 20
    while True:
        now = [descriptors(pid) for pid in (portal, *monitors)]
        if all(new <= old + 4 for new, old in zip(now, before, strict=True)):
            break
        assert time.monotonic() < end, (before, now)
        time.sleep(0.1)
    with log.open("rb") as file:
        file.seek(size)
        said = file.read().decode(errors="replace")
    assert "Traceback" not in said, said[-3000:]
    podsh.run("kill", "-s", "KILL", *names)
    for name in names:
        podsh.wait_state(name, "exited")


@pytest.mark.parametrize("kind", ["portal", "monitor", "kage"])
def test_a_slice(make_podsh: Callable[[], Podsh], kind: str) -> None:
    speak(make_podsh(), kind, 1, 200 if kind == "kage" else 1500)


@pytest.mark.soak
@pytest.mark.parametrize("piece", range(4))
@pytest.mark.parametrize("kind", ["portal", "monitor", "kage"])
def test_a_million(make_podsh: Callable[[], Podsh], kind: str, piece: int) -> None:
    """The eighth part of it, as each of two callers."""
    seed = int(os.environ.get("SEED", "1")) * 1_000_000 + piece * 1000
    speak(make_podsh(), kind, seed, 125_000, 12 if kind == "kage" else 1)
