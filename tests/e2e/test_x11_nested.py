"""An X server of the pod's own: nobody else's keys and windows are seen there, and none see its."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh.portal import xauthority
from tests.helpers import cgroups, processes
from tests.helpers.displays import XServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers.runner import Podsh

KEYS = ("xev", "-root", "-event", "keyboard")
# draws a window, and waits until it is there
EYES = (
    "setsid xeyes </dev/null >/dev/null 2>&1 & "
    "until xwininfo -root -tree | grep -q xeyes; do sleep 0.05; done"
)
WINDOWS = "xwininfo -root -tree | grep -c xeyes; xwd -root -silent | md5sum"


@pytest.fixture
def desktop(podsh: Podsh, tmp_path: Path) -> Iterator[XServer]:
    """The caller's display."""
    server = XServer(tmp_path)
    path = podsh.file(podsh.home / ".Xauthority", xauthority.write([server.entry()]), 0o600)
    yield server
    path.unlink()
    server.close()


def start(podsh: Podsh, name: str, *argv: str, option: tuple[str, ...], display: str) -> None:
    options = ("-d", "-n", name, "--x11", *option)
    done = podsh.run("run", *options, "--", *argv, env={"DISPLAY": display})
    assert done.code == 0, done.err


def inside(podsh: Podsh, pod: str, line: str) -> str:
    """The output of a shell's line in a pod."""
    done = podsh.run("exec", pod, "--", "sh", "-c", line)
    assert done.code == 0, done.err
    return done.out


def press_until_seen(podsh: Podsh, presser: str, key: str, watcher: str) -> str:
    """Press a key in one pod until another one's xev has seen it; all that this one has seen."""
    end = time.monotonic() + 30
    while True:
        inside(podsh, presser, f"xdotool key {key}")
        seen = podsh.run("logs", watcher).out
        if f", {key})" in seen:
            return seen
        assert time.monotonic() < end, f"no {key} in {seen!r}"


def end(podsh: Podsh, *pods: str) -> None:
    podsh.run("kill", "-s", "KILL", *pods)
    for pod in pods:
        podsh.run("wait", pod, "exit", "-t", "20")


def test_two_pods_do_not_see_each_other(podsh: Podsh, desktop: XServer) -> None:
    """On one display they do (else all this would prove nothing); with servers of their own not."""
    for option, display in (((), desktop.name), (("nested",), "")):
        start(podsh, "a", *KEYS, option=option, display=display)
        start(podsh, "b", "sleep", "1000", option=option, display=display)
        before = inside(podsh, "a", WINDOWS + " || true")
        inside(podsh, "b", EYES)
        after = inside(podsh, "a", WINDOWS + " || true")
        if option:
            inside(podsh, "b", "xdotool key F2 key F2")
            seen = press_until_seen(podsh, "a", "F3", "a")
            assert ", F2)" not in seen
            assert before == after
            assert before.startswith("0\n")
        else:
            press_until_seen(podsh, "b", "F2", "a")
            assert before != after
            assert after.startswith("1\n")
        end(podsh, "a", "b")
        assert podsh.run("rm", "a", "b").code == 0


def test_a_window_of_the_display(podsh: Podsh, desktop: XServer) -> None:
    """Xephyr: one window there for all of the pod's, which has no other way to that display."""
    start(podsh, "boxed", "sleep", "1000", option=("nested",), display=desktop.name)
    inside(podsh, "boxed", EYES)
    env = {"DISPLAY": desktop.name}
    outside = podsh.outside("xwininfo", "-root", "-tree", env=env).out
    assert '"pod boxed"' in outside
    assert "xeyes" not in outside
    line = (
        f"ls /tmp/.X11-unix | wc -l; xauth list | grep -c {desktop.cookie.hex()};"
        f" xdpyinfo -display {desktop.name} 2>&1"
    )
    done = podsh.run("exec", "boxed", "--", "sh", "-c", line)
    assert done.out.split("\n", 2)[:2] == ["1", "0"]
    assert "unable to open display" in done.out

    (server,) = (each.pid for each in processes.below(os.getpid()) if each.name == "Xephyr")
    status = Path(f"/proc/{server}/status").read_text()
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    if os.getuid() == 0:
        for name in ("user", "mnt", "pid", "net", "ipc"):
            mine, its = (os.readlink(f"/proc/{who}/ns/{name}") for who in ("self", server))
            assert mine != its
        # of the caller's files the one with that cookie, and of that nothing else
        found = Path(f"/proc/{server}/root{podsh.home}")
        assert [path.name for path in found.iterdir()] == [".Xauthority"]
        assert len(xauthority.read((found / ".Xauthority").read_bytes())) == 1

    # its end is not the pod's, but is said
    os.kill(server, signal.SIGKILL)
    stop = time.monotonic() + 20
    while "X server has ended" not in podsh.run("events", "boxed").out:
        assert time.monotonic() < stop
    assert podsh.state_of("boxed") == "running"
    end(podsh, "boxed")


def test_it_ends_with_its_pod(podsh: Podsh, desktop: XServer) -> None:
    """However the pod ends: by itself, or with its monitor."""
    done = podsh.pod("true", options=("--x11", "nested"), env={"DISPLAY": desktop.name})
    assert done.code == 0
    start(podsh, "lost", "sleep", "1000", option=("nested",), display="")
    (row,) = podsh.ps()
    os.kill(row["monitor_pid"], signal.SIGKILL)
    podsh.wait_state("lost", "lost")
    stop = time.monotonic() + 20
    while any(each.name in ("Xvfb", "Xephyr") for each in running(desktop)):
        assert time.monotonic() < stop
        time.sleep(0.05)


def running(desktop: XServer) -> list[processes.Process]:
    """Processes below the suite, but for the display's own server."""
    processes.reap()
    return [each for each in processes.below(os.getpid()) if each.pid != desktop.pid]


def test_dry_run_and_profile(podsh: Podsh) -> None:
    podsh.profile("boxed", 'name = "boxed"\nextends = "base"\n[x11]\nnested = true\n')
    env = {"DISPLAY": ""}
    done = podsh.run("run", "--dry-run", "-p", "boxed", "--", "xeyes", env=env)
    assert "its X server, in a jail of its own:" in done.out
    assert "run      /usr/bin/Xvfb :0 " in done.out
    done = podsh.pod("xdpyinfo", options=("-p", "boxed", "--net", "host"), env=env)
    assert done.out.startswith("name of display:    :0\n"), done.err


def test_its_memory_is_the_pods(make_podsh: Callable[[], Podsh]) -> None:
    """A client may have its server keep as much as it likes: the pod's limits hold for both."""
    podsh = make_podsh()
    text = 'name = "limited"\nextends = "base"\n[limits]\nmemory = "256M"\n[x11]\nnested = true\n'
    podsh.profile("limited", text)
    name = cgroups.named("drawing")
    with cgroups.delegated(podsh):
        options = ("-d", "-n", name, "-p", "limited")
        done = podsh.run("run", *options, "--", "sleep", "1000", env={"DISPLAY": ""})
        assert done.code == 0, done.err
        (row,) = podsh.ps()
        groups = Path(f"/proc/{row['init_pid']}/cgroup").read_text()
        assert groups != Path("/proc/self/cgroup").read_text()
        (server,) = (each.pid for each in processes.below(os.getpid()) if each.name == "Xvfb")
        assert Path(f"/proc/{server}/cgroup").read_text() == groups
        end(podsh, name)
        podsh.close()
    assert not cgroups.left()
