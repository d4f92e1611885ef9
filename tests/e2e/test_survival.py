"""Whatever is killed, full or gone: nobody else is harmed, and who asks is told in words."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_life import kill_portal, portal_pid, portals, row
from tests.helpers import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers.runner import Podsh

SEED = int(os.environ.get("SEED", "1")) * 1000

BUSY = "while :; do echo $((n += 1)); sleep 0.2; done"


def until(found: Callable[[], object], timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end
        processes.reap()
        time.sleep(0.05)


def kill_all(podsh: Podsh, *names: str) -> None:
    podsh.run("kill", "-s", "KILL", *names)
    for name in names:
        podsh.wait_state(name, "exited")


# ---------------------------------------------------------------- the portal


def portal_is_killed(podsh: Podsh, count: int) -> None:
    """``count`` busy pods; an attached terminal, a follower, who waits, and requests in five."""
    podsh.file(podsh.home / "wanted", "given\n")
    busy = [f"busy{number}" for number in range(count)]
    asking = [f"ask{number}" for number in range(5)]
    for name in busy:
        assert podsh.run("run", "-d", "-n", name, "--", "sh", "-c", BUSY).code == 0
    for name in asking:
        script = f"cat {podsh.home}/wanted; sleep 1000"
        podsh.run("run", "-d", "--ask", "hold", "-n", name, "--", "sh", "-c", script)
    until(lambda: sum(r["waiting"] for r in podsh.ps()) == len(asking))
    before = {r["name"]: (r["pid"], r["monitor_pid"]) for r in podsh.ps()}
    follower = podsh.start("events", "-f", "--json")
    waiter = podsh.start("wait", busy[0], "exit")
    assert follower.stdout is not None
    assert follower.stderr is not None
    assert waiter.stderr is not None
    follower.stdout.readline()
    with podsh.terminal("run", "-n", "shell", "--", "sh") as terminal:
        terminal.expect(r"[#$] ")
        terminal.send("echo be'fore'\r")
        terminal.expect("before")
        kill_portal(podsh)
        # who is told by it says so, and goes on with the next one, which they start
        for one in (follower.stderr, waiter.stderr):
            assert one.readline() == b"podsh: the portal died; another one finds the pods\n"
        terminal.send("echo af'ter'\r")
        terminal.expect("after")
        after = {r["name"]: (r["pid"], r["monitor_pid"]) for r in podsh.ps()}
        assert {name: after.get(name) for name in before} == before
        assert sum(r["waiting"] for r in podsh.ps()) == len(asking)
        for line in podsh.run("requests", "--json").out.splitlines():
            assert podsh.run("allow", str(json.loads(line)["id"]), "--pod").code == 0
        for name in asking:
            until(lambda name=name: podsh.run("logs", name).out.split() == ["given"])
        assert podsh.run("exec", busy[-1], "--", "echo", "in").out == "in\n"
        podsh.run("kill", "-s", "KILL", busy[0])
        assert waiter.wait(20) == 137
        terminal.send("exit 4\r")
        assert terminal.wait() == 4
    said = b""
    while b'"shell"' not in said or b'"exit"' not in said:
        said = follower.stdout.readline()
        assert said
    follower.terminate()
    follower.communicate()
    waiter.communicate()
    kill_all(podsh, *busy[1:], *asking)


def test_a_portal_is_killed(make_podsh: Callable[[], Podsh]) -> None:
    portal_is_killed(make_podsh(), 6)


@pytest.mark.soak
@pytest.mark.parametrize("piece", range(3))
def test_a_portal_is_killed_under_fifty_pods(make_podsh: Callable[[], Podsh], piece: int) -> None:
    portal_is_killed(make_podsh(), 50)


def test_who_follows_one_that_is_told_to_end_starts_no_other(
    make_podsh: Callable[[], Podsh],
) -> None:
    podsh = make_podsh()
    podsh.run("ps")
    before = portals()
    follower = podsh.start("events", "-f")
    podsh.run("run", "--rm", "--", "true")
    assert podsh.run("shutdown").code == 0
    _, err = follower.communicate(timeout=20)
    assert err == b"podsh: the portal: was ended; pods go on; see: podsh ps\n"
    until(lambda: len(portals()) == len(before) - 1)


def test_a_console_is_told_and_goes_on(make_podsh: Callable[[], Podsh]) -> None:
    """What a pod asks for afterwards is seen without any command."""
    podsh = make_podsh()
    podsh.file(podsh.home / "wanted", "given\n")
    script = f"while ! [ -e ~/go ]; do sleep 0.05; done; cat {podsh.home}/wanted; sleep 1000"
    podsh.run("run", "-d", "-n", "later", "--", "sh", "-c", script)
    with podsh.terminal() as console:
        console.expect("podsh>")
        kill_portal(podsh)
        console.expect("the portal died; another one finds the pods")
        podsh.file(podsh.state / "podsh/pods/later/home/go", "")
        console.expect("1 waiting")
        console.send("kill -s KILL later\r")
        console.expect("killed by KILL")
        console.send("quit\r")
        console.wait()


# ---------------------------------------------------------------- directories


@pytest.mark.parametrize("killed", [False, True], ids=["portal-lives", "portal-killed"])
def test_the_runtime_directory_is_gone(make_podsh: Callable[[], Podsh], killed: bool) -> None:
    podsh = make_podsh()
    podsh.run("run", "-d", "-n", "live", "--", "sh", "-c", BUSY)
    pid = row(podsh, "live")["pid"]
    portal = portal_pid(podsh)
    shutil.rmtree(podsh.runtime / "podsh")
    if killed:
        os.kill(portal, signal.SIGKILL)
        until(lambda: portal not in portals())
    assert (row(podsh, "live")["state"], row(podsh, "live")["pid"]) == ("running", pid)
    assert (portal_pid(podsh) == portal) == (not killed)
    assert podsh.run("exec", "live", "--", "echo", "in").out == "in\n"
    assert podsh.pod("true").code == 0
    kill_all(podsh, "live")


@pytest.fixture
def small(make_podsh: Callable[[], Podsh]) -> Iterator[Podsh]:
    """podsh whose state directory is on a filesystem of 256 KiB."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small filesystem")
    podsh = make_podsh()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", podsh.state], check=True)
    podsh.caller.own(podsh.state)
    podsh.state.chmod(0o700)
    yield podsh
    podsh.close()
    subprocess.run(["umount", "-l", podsh.state], check=True)


def test_the_disk_is_full(small: Podsh) -> None:
    assert small.run("run", "-d", "-n", "live", "--", "sh", "-c", BUSY).code == 0
    full = small.state / "full"
    with contextlib.suppress(OSError), full.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    assert small.run("exec", "live", "--", "echo", "in").out == "in\n"
    done = small.run("run", "-n", "new", "--", "sh", "-c", "echo x > ~/f || echo no room")
    assert (done.code, "no room" in done.out) == (0, True)
    assert small.run("run", "-d", "-n", "unwritten", "--", "sleep", "1000").code == 0
    assert small.run("shutdown").code == 0
    # another portal finds also what could not be written down
    found = {r["name"]: r["state"] for r in small.ps()}
    assert (found["live"], found["unwritten"]) == ("running", "running")
    assert small.run("shutdown").code == 0
    # not even a log to start with
    for name in ("podsh/portal.log", "podsh/portal.pid"):
        (small.state / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for number in range(10_000):
            (small.state / f"{number}").touch()
    done = small.run("ps")
    if done.code:
        assert (done.code, done.out) == (125, "")
        assert done.err.endswith("No space left on device\n")
        assert "Errno" not in done.err
    full.unlink()
    for path in small.state.glob("[0-9]*"):
        path.unlink()
    assert row(small, "live")["state"] == "running"
    assert small.pod("true").code == 0
    kill_all(small, "live", "unwritten")


# ---------------------------------------------------------------- a monitor


def test_a_monitor_is_killed(podsh: Podsh) -> None:
    """Its pod ends, nothing remains (the fixture looks), and the event says so."""
    given = podsh.directory("given")
    script = "sleep 1000 & setsid sleep 1000 & sh -c 'trap : TERM HUP; sleep 1000; sleep 1000'"
    podsh.run("run", "-d", "-n", "dies", "--", "sh", "-c", script)
    podsh.run("mount", "dies", "-w", str(given))
    attached = podsh.start("logs", "-f", "dies")
    init = row(podsh, "dies")["init_pid"]
    os.kill(row(podsh, "dies")["monitor_pid"], signal.SIGKILL)
    podsh.wait_state("dies", "lost")
    attached.communicate(timeout=20)
    until(lambda: not os.path.exists(f"/proc/{init}"))
    assert "lost" in podsh.run("events", "dies").out
    assert podsh.run("wait", "dies", "exit").code == 125
    done = podsh.run("exec", "dies", "--", "true")
    assert done.code != 0
    assert "dies" in done.err
    assert not (podsh.runtime / "podsh/monitors/dies").exists()
    assert podsh.run("run", "--rm", "-n", "dies", "--", "echo", "again").out == "again\n"


# ---------------------------------------------------------------- clients


def client_is_killed(podsh: Podsh, seed: int, times: int, longest_s: float = 0.3) -> None:
    """Killed at some moment of a launch, an attach or an exec: what was theirs ends with them."""
    moments = random.Random(seed)
    podsh.run("run", "-d", "-n", "stays", "--", "sh", "-c", BUSY)
    words = (
        ("run", "--rm", "--", "sleep", "1000"),
        ("run", "--rm", "-n", "named", "--", "sh", "-c", "sleep 1000 & sleep 1000"),
        ("exec", "stays", "--", "sleep", "1000"),
        ("attach", "stays"),
    )
    for turn in range(times):
        argv = words[turn % len(words)]
        wait_s = moments.uniform(0, longest_s)
        if argv[0] == "attach" or turn % 8 >= 4:
            with podsh.terminal(*argv) as terminal:
                time.sleep(wait_s)
                terminal.kill()
        else:
            client = podsh.start(*argv)
            time.sleep(wait_s)
            client.kill()
            client.communicate(timeout=30)
    until(
        lambda: [r["name"] for r in podsh.ps() if r["state"] in ("ready", "running")] == ["stays"]
    )
    assert podsh.run("exec", "stays", "--", "echo", "in").out == "in\n"
    kill_all(podsh, "stays")


def test_a_client_is_killed_at_any_moment(podsh: Podsh) -> None:
    client_is_killed(podsh, 1, 16)


@pytest.mark.soak
@pytest.mark.parametrize("piece", range(10))
def test_a_client_is_killed_a_thousand_times(podsh: Podsh, piece: int) -> None:
    client_is_killed(podsh, SEED + piece, 100)


# ---------------------------------------------------------------- a launch


def somebody(name: str) -> int:
    """A process of that name below the suite: the youngest; 0 where there is none."""
    return max((p.pid for p in processes.below(os.getpid()) if p.name == name), default=0)


def killed(name: str) -> bool:
    """Kill that process; False where there is none, or it just ended."""
    with contextlib.suppress(ProcessLookupError):
        if pid := somebody(name):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def kept(podsh: Podsh) -> tuple[list[str], list[str], int]:
    """What is there of pods: directories, sockets, and descriptors of the portal (to the suite of
    root: its processes show this to nobody else)."""
    pods, sockets = (podsh.state / "podsh/pods", podsh.runtime / "podsh/monitors")
    have = os.listdir(f"/proc/{portal_pid(podsh)}/fd") if os.getuid() == 0 else []
    return sorted(os.listdir(pods)), sorted(os.listdir(sockets)), len(have)


def launch_is_killed(podsh: Podsh, seed: int, times: int) -> None:
    """Somebody who takes part in a launch is killed at some moment of it: no leak, and the next
    launch succeeds."""
    moments = random.Random(seed)
    assert podsh.pod("true").code == 0
    before = kept(podsh)
    victims = ("podsh-init", "podsh: standby", "podsh: zygote", "podsh: pod", "client", "sleep")
    for turn in range(times):
        victim = victims[turn % len(victims)]
        client = podsh.start("run", "--rm", "-n", "pod", "--", "sleep", "1000")
        time.sleep(moments.uniform(0, 0.15))
        pid = client.pid if victim == "client" else somebody(victim)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim not in ("client", "sleep"):
            client.terminate()
        try:
            client.wait(30)
        except subprocess.TimeoutExpired:
            client.terminate()
        client.communicate(timeout=30)
        until(lambda: podsh.state_of("pod") in ("", "lost", "failed", "exited"))
        if podsh.state_of("pod"):
            podsh.run("rm", "pod")
        done = podsh.pod("echo", "next")
        assert (done.code, done.out) == (0, "next\n"), (turn, victim, done)
    until(lambda: kept(podsh) <= before)


def test_a_launch_is_killed_at_any_moment(make_podsh: Callable[[], Podsh]) -> None:
    launch_is_killed(make_podsh(), 3, 6)


@pytest.mark.soak
@pytest.mark.parametrize("piece", range(10))
def test_a_launch_is_killed_a_thousand_times(make_podsh: Callable[[], Podsh], piece: int) -> None:
    launch_is_killed(make_podsh(), SEED + piece, 100)


def test_a_zygote_is_killed(make_podsh: Callable[[], Podsh]) -> None:
    """The next launch has another one, also where the portal has not yet seen it; live pods and
    standbys that were forked before are not harmed."""
    podsh = make_podsh()
    podsh.run("run", "-d", "-n", "live", "--", "sh", "-c", BUSY)
    for _ in range(3):
        until(lambda: killed("podsh: zygote"))
        for _ in range(3):
            done = podsh.pod("echo", "next")
            assert (done.code, done.out) == (0, "next\n"), done
    assert podsh.run("exec", "live", "--", "echo", "in").out == "in\n"
    kill_all(podsh, "live")


def test_an_init_is_killed_that_waits_for_a_pod(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    assert podsh.pod("true").code == 0
    for _ in range(6):
        until(lambda: killed("podsh-init"))
        done = podsh.pod("echo", "next")
        assert (done.code, done.out) == (0, "next\n"), done


def test_no_place_that_is_asked_for_ends_a_pod(podsh: Podsh) -> None:
    given = podsh.directory("given")
    podsh.run("run", "-d", "-n", "live", "--", "sh", "-c", BUSY)
    for place in (
        "//mnt/x",
        "/mnt//y/",
        "/mnt/../z",
        "/" + "n/" * 3000,
        "/" + "n" * 300,
        "//",
        "x",
    ):
        done = podsh.run("mount", "live", str(given), place)
        assert done.code in (0, 1, 2, 125), done
        assert "Traceback" not in done.err
        if done.code == 0:
            seen = podsh.run("exec", "live", "--", "test", "-d", place)
            assert seen.code == 0, (place, seen)
    assert podsh.run("exec", "live", "--", "echo", "in").out == "in\n"
    kill_all(podsh, "live")


# ---------------------------------------------------------------- too few of something


@pytest.mark.skipif(os.getuid() != 0, reason="podsh's own processes show this to root alone")
def test_out_of_descriptors(make_podsh: Callable[[], Podsh]) -> None:
    """The portal has none left: who asks is told; once there are some, all is as before."""
    podsh = make_podsh()
    podsh.run("run", "-d", "-n", "live", "--", "sh", "-c", BUSY)
    pid = portal_pid(podsh)
    have = len(os.listdir(f"/proc/{pid}/fd"))
    soft = podsh.outside("prlimit", "-p", str(pid), "-n", "-o", "SOFT", "--noheadings").out.strip()
    assert podsh.outside("prlimit", "-p", str(pid), f"--nofile={have + 2}:").code == 0
    done = podsh.run("run", "--rm", "--", "true", timeout=30)
    assert done.code in (2, 125), done
    assert "Too many open files" in done.err, done
    assert "Traceback" not in done.err
    assert podsh.outside("prlimit", "-p", str(pid), f"--nofile={soft}:").code == 0
    assert podsh.pod("true").code == 0
    assert row(podsh, "live")["state"] == "running"
    kill_all(podsh, "live")


def test_out_of_processes_in_a_pod(podsh: Podsh) -> None:
    """A pod that forks without end meets its own limit, and nobody else does."""
    podsh.run("run", "-d", "-n", "calm", "--", "sh", "-c", BUSY)
    podsh.profile("few", 'extends = "base"\n[limits]\nprocesses = 40\n[access]\ndomain = false\n')
    bomb = "for i in $(seq 1000); do sleep 1000 & done; wait"
    podsh.run("run", "-d", "-n", "bomb", "-p", "few", "--", "sh", "-c", bomb)
    until(
        lambda: (
            "fork" in podsh.run("logs", "bomb").out or "Resource" in podsh.run("logs", "bomb").out
        )
    )
    assert podsh.pod("true").code == 0
    assert podsh.run("exec", "calm", "--", "sh", "-c", "true & wait; echo in").out == "in\n"
    if podsh.state_of("bomb") == "running":
        podsh.run("kill", "-s", "KILL", "bomb")
    kill_all(podsh, "calm")
    podsh.wait_state("bomb", "exited")
