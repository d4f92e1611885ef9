"""Limits of a pod as a whole: memory, cpu and processes by a cgroup, or a refusal that says why."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import cgroups
from tests.helpers.needs import needs_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers.runner import Podsh

SMALL = 'extends = "base"\n[limits]\nmemory = "64M"\ncpu = 0.2\nprocesses = 400\n'
FAT, LIVES = cgroups.named("fat"), cgroups.named("lives")
FILL = "x = b'x' * (256 << 20)"
# how much of a processor a program gets that wants all of it
SPIN = (
    "import time; end = time.time() + 1\nwhile time.time() < end: pass\nprint(time.process_time())"
)


@pytest.fixture
def limited(make_podsh: Callable[[], Podsh]) -> Iterator[Podsh]:
    """A podsh that may make groups, with the profile ``small``."""
    needs_kernel("cgroup-delegation")
    podsh = make_podsh()
    podsh.profile("small", SMALL)
    with cgroups.delegated(podsh):
        yield podsh
        podsh.close()
    assert not cgroups.left()


def events(podsh: Podsh, pod: str, kind: str) -> list[dict[str, Any]]:
    done = podsh.run("events", pod, "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    return [event for event in found if event["ev"] == kind]


def test_memory_cpu_and_processes_are_limited(limited: Podsh) -> None:
    podsh = limited
    done = podsh.run("run", "-n", FAT, "-p", "small", "--", "/usr/bin/python3", "-c", FILL)
    assert done.code == 137, done.err
    (event,) = events(podsh, FAT, "oom")
    assert (event["count"], event["limit"]) == (1, 64 << 20)
    assert "!    out of memory of 64M: 1 process was killed" in podsh.run("events", FAT).out
    assert not cgroups.left()
    spun = podsh.pod("/usr/bin/python3", "-c", SPIN, options=("-n", FAT, "-p", "small"))
    assert 0 < float(spun.out) < 0.5, spun
    # a pod without such limits has none of it
    assert podsh.pod("/usr/bin/python3", "-c", FILL).code == 0


def test_what_is_used_is_shown_and_told_while_it_lives(limited: Podsh) -> None:
    podsh = limited
    text = f'/usr/bin/python3 -c "{FILL}"; echo $?; exec sleep 1000'
    started = podsh.run("run", "-d", "-n", LIVES, "-p", "small", "--", "sh", "-c", text)
    assert started.code == 0, started.err
    end = time.monotonic() + 30
    while not events(podsh, LIVES, "oom"):
        assert time.monotonic() < end, podsh.run("logs", LIVES).out
        time.sleep(0.02)
    (row,) = podsh.ps()
    used = row["usage"]
    assert (used["memory_limit"], used["cpu_limit"]) == (64 << 20, 0.2)
    assert (used["pids_limit"], used["oom_kills"]) == (400, 1)
    assert 0 < used["memory"] < 64 << 20
    assert used["pids"] >= 2
    assert used["cpu_seconds"] > 0
    header, line = podsh.run("ps", "-l").out.splitlines()
    assert "MEMORY" in header
    assert "/64M" in line
    assert "s of 0.2" in line
    assert "/400" in line
    assert len(cgroups.left()) >= 1
    # the portal is replaced, the pod and its limits stay
    assert podsh.run("shutdown").code == 0
    assert podsh.ps()[0]["usage"]["memory_limit"] == 64 << 20
    os.kill(podsh.ps()[0]["monitor_pid"], signal.SIGKILL)
    podsh.wait_state(LIVES, "lost")
    while cgroups.left():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert podsh.ps()[0]["usage"] is None


def test_the_plan_says_so(podsh: Podsh) -> None:
    podsh.profile("small", SMALL)
    plan = podsh.run("run", "--dry-run", "-p", "small", "--", "true").out
    assert f"limit    memory {64 << 20} bytes (cgroup)" in plan
    assert "limit    cpu 0.2 cores (cgroup)" in plan
    assert podsh.run("profile", "check", "small").code == 0


def test_without_a_place_for_groups_it_is_refused_by_name(make_podsh: Callable[[], Podsh]) -> None:
    if os.getuid() != 0:
        pytest.skip("hiding cgroups takes root")
    podsh = make_podsh()
    podsh.profile("small", SMALL)
    caller = podsh.caller
    hide = "mount -t tmpfs none /sys/fs/cgroup"
    become = f"setpriv --reuid {caller.uid} --regid {caller.gid} --clear-groups"
    environ = [f"{key}={value}" for key, value in podsh.env.items()]
    hidden = ["unshare", "-m", "sh", "-c", f'{hide} && exec {become} env "$@"', "sh", *environ]
    as_root = podsh.caller._replace(uid=0, gid=0)
    podsh.caller = as_root
    try:
        done = podsh.outside(*hidden, str(podsh.command), "run", "-p", "small", "--", "true")
        told = podsh.outside(*hidden, str(podsh.command), "doctor")
    finally:
        podsh.caller = caller
    assert (done.code, done.out) == (125, "")
    assert "[limits] memory and [limits] cpu: cannot be enforced here: cgroups" in done.err
    (said,) = [line for line in told.out.splitlines() if " cgroup-delegation " in line]
    assert said.split(maxsplit=2)[2] == "cgroups of version 2 are not mounted"
    assert said.startswith("lacking")
    assert podsh.ps() == []
