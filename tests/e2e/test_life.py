"""Life and death of portal, monitors and pods; many at once; nothing left."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.helpers import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh


def portal_pid(podsh: Podsh) -> int:
    done = podsh.run("doctor", "--json")
    for line in done.out.splitlines():
        found = json.loads(line)
        if "portal_pid" in found:
            return int(found["portal_pid"])
    raise AssertionError(done)


def kill_portal(podsh: Podsh) -> None:
    """Kill it, and wait until it is dead."""
    pid = portal_pid(podsh)
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while any(p.pid == pid and p.state != "Z" for p in processes.below(os.getpid())):
        assert time.monotonic() < end
        time.sleep(0.02)


def portals() -> set[int]:
    return {p.pid for p in processes.below(os.getpid()) if p.name == "podsh: portal"}


def row(podsh: Podsh, name: str) -> dict:
    return next(row for row in podsh.ps() if row["name"] == name)


def test_pods_outlive_the_portal_and_are_adopted(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    podsh.run(
        "run", "-d", "-n", "live", "--", "sh", "-c", "echo before; sleep 1; echo after; sleep 100"
    )
    podsh.run("run", "-d", "-n", "done", "--", "sh", "-c", "exit 3")
    podsh.run("wait", "done", "exit")
    pid = row(podsh, "live")["pid"]
    kill_portal(podsh)
    assert row(podsh, "live")["pid"] == pid
    assert row(podsh, "live")["state"] == "running"
    assert (row(podsh, "done")["state"], row(podsh, "done")["exit"]) == ("exited", 3)
    end = time.monotonic() + 10
    while (said := podsh.run("logs", "live").out.split()) != ["before", "after"]:
        assert time.monotonic() < end, said
    assert podsh.run("exec", "live", "--", "true").code == 0
    podsh.run("kill", "-s", "KILL", "live")
    podsh.wait_state("live", "exited")


def test_a_pod_that_ends_while_no_portal_is_there_is_known_afterwards(
    make_podsh: Callable[[], Podsh],
) -> None:
    podsh = make_podsh()
    podsh.run("run", "-d", "-n", "short", "--", "sh", "-c", "sleep 1.5; exit 6")
    kill_portal(podsh)
    ended = podsh.state / "podsh/pods/short/exit.json"
    assert not ended.exists()
    end = time.monotonic() + 10
    while not ended.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (row(podsh, "short")["state"], row(podsh, "short")["exit"]) == ("exited", 6)


def test_shutdown_leaves_pods_running_and_says_so(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    podsh.run("run", "-d", "-n", "stay", "--", "sleep", "100")
    done = podsh.run("shutdown")
    assert done.code == 0
    assert podsh.state_of("stay") == "running"


def test_death_of_a_monitor_ends_its_pod_alone(podsh: Podsh) -> None:
    for name in ("a", "b"):
        podsh.run("run", "-d", "-n", name, "--", "sh", "-c", "sleep 1000 & sleep 1000")
    os.kill(row(podsh, "a")["monitor_pid"], signal.SIGKILL)
    podsh.wait_state("a", "lost")
    pid = row(podsh, "b")["init_pid"]
    assert podsh.state_of("b") == "running"
    podsh.run("kill", "-s", "KILL", "b")
    podsh.wait_state("b", "exited")
    end = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def test_death_of_pid_one_is_an_exit(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "headless", "--", "sleep", "1000")
    os.kill(row(podsh, "headless")["init_pid"], signal.SIGKILL)
    podsh.wait_state("headless", "exited")
    assert row(podsh, "headless")["exit"] == 137


def test_twenty_pods_at_once_each_attached_and_detached(podsh: Podsh) -> None:
    names = [f"p{number}" for number in range(20)]
    script = "echo out-$0; read line; echo got-$line; exit ${0#p}"
    with ThreadPoolExecutor(8) as pool:
        codes = list(
            pool.map(
                lambda n: podsh.run("run", "-d", "-n", n, "--", "sh", "-c", script, n).code, names
            )
        )
    assert codes == [0] * 20
    with podsh.terminal() as console:
        console.expect("podsh>")
        for name in names:
            console.send(f"attach {name}\r")
            console.expect(f"\nout-{name}|Hout-{name}|Jout-{name}")
            console.send(b"\x1d")
            console.expect("podsh>")
        assert all(row["state"] == "running" for row in podsh.ps())
        for name in names:
            console.send(f"attach {name}\r")
            console.expect(f"\nout-{name}|Hout-{name}|Jout-{name}")
            console.send("x\r")
            console.expect(f"{name}.*exit {name[1:]}\\D")
        console.send("quit\r")
        assert console.wait() == 0
    assert {row["name"]: row["exit"] for row in podsh.ps()} == {n: int(n[1:]) for n in names}
    zombies = [
        p for p in processes.below(os.getpid()) if p.state == "Z" and p.parent != os.getpid()
    ]
    assert not zombies


def test_descriptors_of_the_portal_do_not_grow(podsh: Podsh) -> None:
    pid = portal_pid(podsh)

    def count() -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    if podsh.caller.switch or os.getuid() == 0:
        for _ in range(3):
            podsh.pod("true")
        before = count()
        for _ in range(12):
            podsh.pod("sh", "-c", "echo x")
        time.sleep(0.3)
        assert count() <= before + 1


def test_descriptors_of_a_monitor_do_not_grow(podsh: Podsh) -> None:
    """Each program that was added to a pod has a filter, and a listener, of its own."""
    podsh.run("run", "-d", "-n", "live", "--", "sleep", "1000")
    pid = row(podsh, "live")["monitor_pid"]

    def count() -> int:  # only root's suite is shown them
        return len(os.listdir(f"/proc/{pid}/fd")) if os.getuid() == 0 else 0

    podsh.run("exec", "live", "--", "true")
    before = count()
    for _ in range(8):
        assert podsh.run("exec", "live", "--", "cat", "/etc/hosts").code == 0
    end = time.monotonic() + 20
    while count() > before + 1:
        assert time.monotonic() < end, (before, count())
        time.sleep(0.05)
    # a program without a name even
    assert podsh.run("exec", "live", "--", "").code == 127
    podsh.run("kill", "-s", "KILL", "live")
    podsh.wait_state("live", "exited")


def test_two_first_commands_start_one_portal(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    before = portals()
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: podsh.run("run", "--rm", "--", "true"), range(6)))
    assert [one.code for one in done] == [0] * 6, done
    assert len(portals() - before) == 1
    assert portal_pid(podsh) in portals()
