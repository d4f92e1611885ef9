"""The socket that kage asks on: for one pod's programs, and no way to disturb its monitor."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import PYTHON

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.escape.yard import Yard
    from tests.helpers.runner import Podsh

ATTEMPTS = ("others_by_name", "others_by_proc")
ATTACKS = ("garbage", "flood", "silent")


def monitor_of(podsh: Podsh, pod: str) -> tuple[int, int]:
    """(monitor, init) of a live pod: the former's child."""
    path = podsh.state / "podsh/pods" / pod / "meta.json"
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    monitor = int(json.loads(path.read_text())["monitor_pid"])
    children = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
    return monitor, int(children[0])


def ask(podsh: Podsh, path: str) -> str:
    """What a process outside is answered there; as the caller."""
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "s.settimeout(20)\n"
        "s.connect(sys.argv[1])\n"
        "s.send(b'i--')\n"
        "try:\n"
        "    print('got', s.recv(99))\n"
        "except ConnectionResetError:\n"
        "    print('got', b'')\n"
    )
    done = podsh.outside(PYTHON, "-c", code, path)
    assert done.code == 0, done.err
    return done.out.strip()


@pytest.fixture
def pod(podsh: Podsh) -> Iterator[str]:
    """A pod in the background."""
    name = "held"
    done = podsh.run("run", "-d", "-p", "base", "-n", name, "--", "sleep", "1000")
    assert done.code == 0, done.err
    podsh.wait_state(name, "running")
    yield name
    podsh.forget_pods()


def test_a_pods_socket_is_for_its_own_programs(podsh: Podsh, pod: str, yard: Yard) -> None:
    """No name in another pod leads to it, and a process outside that finds it is not answered."""
    _, init = monitor_of(podsh, pod)
    path = f"/proc/{init}/root/.podsh/kage.sock"
    assert ask(podsh, path) == "got b''"
    # it is the right one, and it does answer
    assert podsh.run("exec", pod, "--", "kage", "info").out == "base\n"
    sockets = [str(path) for path in podsh.runtime.rglob("*") if path.is_socket()]
    yard.facts["listening"] = [path, *sockets]
    with yard.pod() as other:
        found = yard.try_by_exec(other, "kage", ATTEMPTS)
    assert {name: verdict.how for name, verdict in found.items()} == dict.fromkeys(ATTEMPTS, "no")


def test_it_has_no_name_on_the_host(podsh: Podsh, pod: str) -> None:
    sockets = [path.name for path in podsh.runtime.rglob("*") if path.is_socket()]
    assert sorted(sockets) == sorted(["portal.sock", pod])
    assert not [path for path in podsh.state.rglob("*") if path.is_socket()]


def test_a_process_in_another_pid_namespace_of_the_pods_mounts_is_refused(
    podsh: Podsh, pod: str
) -> None:
    """Somebody who enters the pod's mounts alone sees the socket, and is not answered."""
    _, init = monitor_of(podsh, pod)
    entered = ("nsenter", f"--target={init}", "--user", "--mount", "--preserve-credentials")
    done = podsh.outside(*entered, "/.podsh/bin/kage", "info")
    assert done.code == 2, done
    assert done.err == "kage: the monitor refused to answer\n"
    done = podsh.outside(*entered, "--pid", "/.podsh/bin/kage", "info")
    assert (done.code, done.out) == (0, "base\n"), done.err


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_monitor_goes_on(
    podsh: Podsh, pod: str, attack: str, make_attack: Callable[[str], None]
) -> None:
    """While a program of the pod does its worst others are served, and then all is as it was."""
    monitor, _ = monitor_of(podsh, pod)
    before = _memory(monitor)
    make_attack(attack)
    for _ in range(5):
        done = podsh.run("exec", pod, "--", "echo", "served", timeout=20)
        assert (done.code, done.out) == (0, "served\n")
    if attack == "silent":  # the others keep it busy with the calls that they make
        assert _share(monitor) < 0.3
    assert _memory(monitor) - before < 8 << 10
    assert podsh.state_of(pod) == "running"
    assert podsh.run("exec", pod, "--", "pkill", "-KILL", "-f", "kage.py").code in (0, 137)
    end = time.monotonic() + 15
    while podsh.run("exec", pod, "--", "kage", "info").out != "base\n":
        assert time.monotonic() < end, "kage does not come back"
    assert _share(monitor) < 0.3, "busy with nothing"
    if os.getuid() == 0:
        assert len(os.listdir(f"/proc/{monitor}/fd")) < 40


@pytest.fixture
def make_attack(podsh: Podsh, pod: str, yard: Yard) -> Iterator[Callable[[str], None]]:
    running: list[subprocess.Popen[bytes]] = []
    scripts = podsh.directory("attacks")
    for name in ("kage.py", "tools.py"):
        podsh.file(scripts / name, (yard.scripts / name).read_bytes())
    podsh.run("mount", pod, str(scripts), "/attacks")

    def make(attack: str) -> None:
        running.append(podsh.start("exec", pod, "--", "python3", "-B", "/attacks/kage.py", attack))
        assert running[-1].stdout is not None
        if attack != "garbage":
            assert running[-1].stdout.readline() == b"started\n"

    yield make
    podsh.run("kill", "-s", "KILL", pod)
    for process in running:
        process.communicate(timeout=20)


def _memory(pid: int) -> int:
    """KiB of a process's own."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(pid)


def _share(pid: int) -> float:
    """How much of a processor it takes, for a second."""
    used, began = _cpu(pid), time.monotonic()
    time.sleep(1)
    return (_cpu(pid) - used) / (time.monotonic() - began)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_socket_of_an_ended_pod_is_gone(podsh: Podsh, pod: str) -> None:
    _, init = monitor_of(podsh, pod)
    root = os.open(f"/proc/{init}/root/.podsh", os.O_PATH) if os.getuid() == 0 else -1
    podsh.forget_pods()
    if root >= 0:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            with pytest.raises(ConnectionRefusedError):
                sock.connect(f"/proc/self/fd/{root}/kage.sock")
        os.close(root)
