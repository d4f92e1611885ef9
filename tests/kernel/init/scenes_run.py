"""Scenes: programs, their terminals, credentials and ends; what they can do to init."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import select
import signal
import socket
import struct
from typing import TYPE_CHECKING, Any

from podsh.errors import LaunchFailed
from podsh.jail import encode, orders
from podsh.kernel import fds, mounts
from tests.kernel.init.pod import INIT, TIMEOUT_S, Pod, children_of, eventually, open_fds

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT_USER = os.getuid() == 0


def terminal() -> None:
    """A terminal of the pod's own devpts, of the size asked, controlling; job control works."""
    with Pod() as pod:
        pod.launch()
        assert pod.said("stty", "size", rows=33, cols=123) == "33 123\n"
        assert pod.said("tty") == "/dev/pts/0\n"
        assert pod.said("sh", "-c", "echo hello >/dev/tty") == "hello\n"
        program = pod.run("cat")
        program.write(b"typed\n")
        program.read_until(b"typed\r\ntyped\r\n")
        program.write(b"\x03")
        program.output()
        assert os.WTERMSIG(program.exited().status) == signal.SIGINT
        # two at once, each with its own
        one, two = pod.run("cat"), pod.run("sh", "-c", "tty; cat")
        assert b"/dev/pts/1" in two.read_until(b"pts/1")
        for each in (one, two):
            each.write(b"\x04")
            each.output()
            status = each.exited().status
            assert status == 0, (each.id, status, each.seen)


def hang_up() -> None:
    """init keeps no terminal open: closing the master hangs up."""
    with Pod() as pod:
        pod.launch()
        program = pod.run("cat")
        program.hang_up()
        status = program.exited().status
        # or it was reading, and was told of the end before the signal came
        assert status in (signal.SIGHUP, 1 << 8), status


def descriptors() -> None:
    """0-2 as given, the rest the terminal or the pod's own /dev/null; nothing above."""
    with Pod() as pod:
        pod.launch()
        listing = ("sh", "-c", "for f in /proc/$$/fd/*; do readlink $f; done; ls /proc/self/fd")
        assert pod.said(*listing) == "/dev/pts/0\n" * 3 + "0  1  2  3\n"
        read, write = os.pipe()
        program = pod.run(*listing, stdio=(-1, write, None))
        os.close(write)
        with open(read) as file:
            lines = file.read().split()
        assert lines[0] == "/dev/null"
        assert lines[1].startswith("pipe:")
        assert lines[2:] == ["/dev/pts/0", "0", "1", "2", "3"]
        program.output()
        assert program.exited().status == 0
        # the pod's /dev/null is the one it sees
        code = "tty <&1; stat -Lc %D /proc/self/fd/0 /dev/null | uniq | wc -l"
        said = pod.said("sh", "-c", code, stdio=(-1, None, None))
        assert said == "/dev/pts/0\n1\n", said
        before = open_fds(pod.pid)
        for _ in range(5):
            pod.said("true")
            pod.refused("no-such-program")
        eventually(lambda: open_fds(pod.pid) == before, "descriptors are closed")


def statuses() -> None:
    """Raw wait statuses, and whether anybody is left."""
    with Pod() as pod:
        pod.launch()
        program = pod.run("sh", "-c", "exit 7")
        message = program.exited()
        assert (os.WEXITSTATUS(message.status), message.others) == (7, False)
        message = pod.run("sh", "-c", "kill -9 $$").exited()
        assert os.WTERMSIG(message.status) == signal.SIGKILL
        message = pod.run("sh", "-c", "trap '' HUP; setsid sleep 100 & exit 0").exited()
        assert (message.status, message.others) == (0, True)
        pod.init.send_signal(pod.next_id(), signal.SIGKILL, 2)
        # orphans are reaped without a word
        eventually(lambda: children_of(pod.pid) == [], "the orphan is gone")
        pod.said("true")


def signals() -> None:
    """To the process, its terminal's foreground group, or everybody; ESRCH for strangers."""
    ready = "import signal, os, time; print('ready', flush=True); time.sleep(100)"
    front = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.setpgid(0, 0)\n"
        "    os.tcsetpgrp(0, os.getpid())\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(100)\n"
        "print('child', os.WTERMSIG(os.waitpid(child, 0)[1]))\n"
    )
    for proc in (True, False):
        with Pod(proc=proc) as pod:
            pod.launch()
            python = ("/usr/bin/python3", "-I", "-S", "-c")
            program = pod.run(*python, ready)
            program.read_until(b"ready")
            pod.init.send_signal(program.id, signal.SIGTERM, 0)
            pod.expect(orders.ACK, program.id)
            assert os.WTERMSIG(program.exited().status) == signal.SIGTERM
            program = pod.run(*python, front)
            program.read_until(b"ready")
            pod.init.send_signal(program.id, signal.SIGUSR1, 1)
            assert f"child {signal.SIGUSR1.value}" in program.output()
            assert program.exited().status == 0
            failed = pod.expect_failure_of_signal(program.id)
            assert (failed.errno, failed.step) == (3, "kill")
            program = pod.run(*python, ready)
            program.read_until(b"ready")
            pod.init.send_signal(999, signal.SIGKILL, 2)
            assert os.WTERMSIG(program.exited().status) == signal.SIGKILL


def refusals() -> None:
    """What cannot be executed says so by errno; nothing is left of it."""
    with Pod() as pod:
        pod.launch()
        pod.said(
            "sh",
            "-c",
            "echo text >/tmp/plain; printf '#!/no/such' >/tmp/script; "
            "mkdir /tmp/dir; chmod +x /tmp/script",
        )
        for name, error in (
            ("no-such", 2),
            ("/no/such", 2),
            ("/tmp/plain", 13),
            ("/tmp/script", 2),
            ("/tmp", 13),
            ("/tmp/plain/x", 20),
            ("", 2),
        ):
            message = pod.refused(name)
            assert (message.step, message.path, message.errno) == ("execve", name, error), message
        # an unreadable one on the way is remembered, a later one is taken
        path: dict[str, Any] = {"env": ["PATH=/tmp/dir:/tmp:/no/such:/usr/bin"]}
        assert pod.refused("plain", **path).errno == 13
        assert pod.said("sh", "-c", "echo found", **path) == "found\n"
        message = pod.refused("true", cwd=["/no/such", "/nor/this"], cwd_must=True)
        assert (message.step, message.path, message.errno) == ("chdir", "/nor/this", 2)
        eventually(lambda: children_of(pod.pid) == [], "reaped")


def environment() -> None:
    """argv, environment, directory, umask, limits and name are those that were given."""
    limits = [
        (resource.RLIMIT_NOFILE, 50, 60),
        (resource.RLIMIT_CORE, 1024, 1024),
        (resource.RLIMIT_FSIZE, -1, -1),
        (resource.RLIMIT_STACK, 1 << 20, -1),
    ]
    with Pod() as pod:
        pod.launch()
        said = pod.said(
            "sh",
            "-c",
            "umask; pwd; ulimit -Sn; ulimit -Hn; ulimit -c; env | sort",
            env=["PATH=/usr/bin", "A=b c"],
            cwd=["/no", "/usr"],
            umask=0o027,
            rlimits=limits,
        )
        assert said == "0027\n/usr\n50\n60\n2\nA=b c\nPATH=/usr/bin\nPWD=/usr\n", said
        code = "print(open('/proc/self/cmdline').read().split(chr(0))[0])"
        assert (
            pod.said("/usr/bin/python3", "-I", "-c", code, procname="other name") == "other name\n"
        )
        assert pod.said("pwd", cwd=["/no", "/nor"]) == "/\n"
        big = "x" * 100_000
        assert pod.said("sh", "-c", "echo ${#BIG}", env=[f"BIG={big}"]) == "100000\n"
        assert pod.refused("true", rlimits=[(99, 1, 1)]).step == "setrlimit"
        # more than the monitor itself may have is cut to that
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        too_much = [(resource.RLIMIT_NOFILE, hard * 2, hard * 2)]
        if ROOT_USER:
            pod.ask("true", rlimits=too_much)
        else:
            said = pod.said("sh", "-c", "ulimit -n", rlimits=too_much)
            assert said == f"{hard}\n"


def credentials() -> None:
    """No capability anywhere, no way to get one, signals and dispositions as new."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    with Pod() as pod:
        pod.launch()
        status = dict(
            line.split(":\t") for line in pod.said("cat", "/proc/self/status").splitlines()
        )
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk", "SigIgn"):
            assert int(status[name], 16) == 0, (name, status[name])
        assert status["NoNewPrivs"] == "1"
        assert "not permitted" in pod.python("import os; os.chroot('/tmp')", status=1)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


def filtered() -> None:
    """The filter is there from the first instruction, and a bad one stops the start."""
    # load nr; if uname (63, x86-64; 160, aarch64): errno 1; allow
    number = 63 if os.uname().machine == "x86_64" else 160
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),
            (0x15, 0, 1, number),
            (0x06, 0, 0, 0x00050001),
            (0x06, 0, 0, 0x7FFF0000),
        )
    )
    with Pod() as pod:
        pod.launch()
        assert pod.said("uname").strip() == "Linux"
        assert "not permitted" in pod.said("uname", filter=program, status=1)
        message = pod.refused("true", filter=b"\xff" * 8)
        assert (message.step, message.errno) == ("seccomp", 22)


def init_hidden() -> None:
    """PID 1 shows nothing of the launch and cannot be traced, read or ended by the pod."""
    with Pod() as pod:
        pod.launch()
        assert pod.said("cat", "/proc/1/comm") == "podsh-init\n"
        assert pod.said("cat", "/proc/1/cmdline").rstrip("\0") == "podsh-init"
        for name in ("environ", "maps", "mem", "auxv", "stack", "syscall"):
            said = pod.said("cat", f"/proc/1/{name}", status=1)
            assert "denied" in said or "not permitted" in said, said
        for name in ("exe", "cwd", "root", "fd/3", "ns/mnt"):
            assert pod.said("readlink", f"/proc/1/{name}", status=1) == "", name
        code = (
            "import ctypes, os, sys\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "for args in ((16, 1, 0, 0), (0x4206, 1, 0, 0)):\n"
            "    assert libc.ptrace(*args) == -1\n"
            "    print(os.strerror(ctypes.get_errno()))\n"
        )
        assert pod.python(code) == "Operation not permitted\n" * 2
        for name in ("KILL", "TERM", "STOP", "CHLD", "SEGV"):
            pod.said("kill", f"-{name}", "1")
        pod.said("true")
        with open(f"/proc/{pod.pid}/status") as file:
            assert "State:\tT" not in file.read()


def hostile() -> None:
    """Forking, orphaning and flooding with signals keep init working."""
    with Pod() as pod:
        pod.launch()
        storm = pod.run(
            "/usr/bin/python3",
            "-I",
            "-S",
            "-c",
            "import os\n"
            "for _ in range(300):\n"
            "    if os.fork() == 0:\n"
            "        os.setsid()\n"
            "        os._exit(0) if os.fork() else os._exit(0)\n"
            "    os.kill(1, 17)\n",
        )
        for _ in range(3):
            pod.said("true")
        assert storm.exited().status == 0
        eventually(lambda: children_of(pod.pid) == [], "all reaped")


def garbage() -> None:
    """Random orders at every stage: init answers or ends with 125, and never crashes."""
    rng = random.Random(7)
    for stage in ("launcher", "standby", "live") * 15:
        pod = Pod(standby=stage != "launcher")
        control = socket.socket(fileno=os.dup(pod.init.fileno()))
        if stage == "live":
            pod.launch()
        pid = pod.pid or pod.init.launcher_pid
        if stage == "standby":
            message = pod.receive()
            assert message is not None
            pid = message.pid
        for _ in range(20):
            kind = rng.choice((*range(12), rng.getrandbits(32)))
            data = struct.pack("<II", kind, rng.getrandbits(2)) + rng.randbytes(rng.randrange(60))
            held = [fds.memfd(rng.randbytes(40)) for _ in range(rng.randrange(3))]
            try:
                fds.send_fds(control, data[: rng.choice((4, 8, 99))], [fd.fileno() for fd in held])
            except (BrokenPipeError, ConnectionResetError):
                break
            finally:
                fds.close_all(held)
        control.close()
        for fd in pod.mounts:
            os.close(fd)
        pod.init._socket.close()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, 125), (stage, status)
        for child in children_of(os.getpid()):
            os.waitpid(child, 0)


def live_garbage() -> None:
    """Orders on a live pod that are nearly right: answered, or 125; `/` stays sealed."""
    rng = random.Random(11)
    places = ("/", "/tmp", "/dev/null", "/usr/bin", "/proc/self", "/a/b", "/a", "", "/..", "x")
    flags = (0, 0, 1, 2, 1 << 63, 2**64 - 1)
    for _ in range(40):
        with Pod() as pod:
            pod.launch()
            for ident in range(1, 30):
                data = encode.string(rng.choice((*places, "/" + "y" * rng.randrange(5000))))
                kind = rng.choice((orders.LINK, orders.SETATTR, orders.DETACH))
                if kind == orders.LINK:
                    data += encode.string(rng.choice(places))
                elif kind == orders.SETATTR:
                    data += struct.pack("<QQQ", *rng.choices(flags, k=3))
                if rng.random() < 0.1:
                    data = data[: rng.randrange(len(data))]
                pod.init._send(kind, ident, data)
                message = pod.receive()
                if message is None:
                    break
                assert (message.id, message.kind in (orders.ACK, orders.FAILED)) == (ident, True)
                seen = {m.point: m.options for m in mounts.listing(pod.pid)}
                assert "ro" in seen["/"], seen
            pod.init.close()
            status = os.waitstatus_to_exitcode(os.waitpid(pod.pid, 0)[1])
            assert status in (0, 125), status
            pod.pid = 0


def monitor_dies() -> None:
    """SIGKILL of the monitor ends everything at once, also while it is only a standby."""
    for launched in (True, False):
        read, write = os.pipe()
        monitor = os.fork()
        if monitor == 0:
            with Pod() as pod:
                pids: list[int] = []
                if launched:
                    pod.launch()
                    pids = [pod.pid, pod.run("sleep", "100").pid]
                    pod.run("sh", "-c", "trap '' HUP TERM; setsid sleep 100 & sleep 100")
                else:
                    while not pids:
                        message = pod.receive()
                        assert message is not None
                        pids = [message.pid]
                os.write(write, struct.pack(f"{len(pids)}i", *pids))
                signal.pause()
            os._exit(0)
        os.close(write)
        data = os.read(read, 64)
        os.close(read)
        fds = [os.pidfd_open(pid) for pid in struct.unpack(f"{len(data) // 4}i", data)]
        os.kill(monitor, signal.SIGKILL)
        os.waitpid(monitor, 0)
        for fd in fds:
            assert select.select([fd], [], [], TIMEOUT_S)[0], "outlived its monitor"
            os.close(fd)


def init_dies() -> None:
    """SIGKILL of PID 1 from outside: the end of the socket, and of the pod."""
    with Pod() as pod:
        pod.launch()
        fd = os.pidfd_open(pod.run("sleep", "100").pid)
        os.kill(pod.pid, signal.SIGKILL)
        while pod.receive() is not None:
            pass
        assert select.select([fd], [], [], TIMEOUT_S)[0]
        os.close(fd)
        # nobody hears it, nothing breaks
        pod.init.send_signal(1, signal.SIGTERM, 0)


def launcher_dies() -> None:
    """A launcher killed before its order is a failure in words."""
    with Pod(standby=False) as pod:
        os.kill(pod.init.launcher_pid, signal.SIGKILL)
        assert pod.launch_fails().place == "podsh-init"


def unmapped() -> None:
    """Root that may not give ids away: the launch fails with the step, nothing stays unreaped."""
    if not ROOT_USER:
        return
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None)
        cap_setuid = 7  # <linux/capability.h>
        libc.prctl(24, cap_setuid, 0, 0, 0)  # PR_CAPBSET_DROP
        # also from what an exec of root's gets by inheritance; so it leaves the ambient set too
        header = struct.pack("Ii", 0x20080522, 0)
        sets = ctypes.create_string_buffer(24)
        libc.capget(header, sets)
        words = list(struct.unpack("6I", sets.raw))
        words[2] &= ~(1 << cap_setuid)
        libc.capset(header, struct.pack("6I", *words))
        with Pod() as pod:
            error = pod.launch_fails()
        good = error.place.startswith("write /proc/") and error.place.endswith("/uid_map")
        print(error, children_of(os.getpid()))
        os._exit(0 if good and children_of(os.getpid()) == [] else 1)
    assert os.waitpid(child, 0)[1] == 0


def not_built() -> None:
    """A missing binary is a failure in words."""
    try:
        orders.Init.spawn("/no/such/podsh-init")
    except LaunchFailed as exc:
        error = exc
    assert error.place == "/no/such/podsh-init"
    assert "build" in error.hint


def small() -> None:
    """An idle init is not worth mentioning: its own memory, in KiB."""
    with Pod() as pod:
        pod.launch()
        pod.said("true")
        if ROOT_USER and "asan" not in INIT:
            with open(f"/proc/{pod.pid}/smaps_rollup") as file:
                sizes = dict(line.split()[:2] for line in file.read().splitlines()[1:])
            assert int(sizes["Anonymous:"]) < 200, sizes


def unused() -> None:
    """A standby that nobody needed goes without a trace."""
    for standby in (True, False):
        with Pod(standby=standby):
            pass
        assert children_of(os.getpid()) == []


SCENES: list[Callable[[], None]] = [
    terminal,
    hang_up,
    descriptors,
    statuses,
    signals,
    refusals,
    environment,
    credentials,
    filtered,
    init_hidden,
    hostile,
    garbage,
    live_garbage,
    monitor_dies,
    init_dies,
    launcher_dies,
    unmapped,
    not_built,
    small,
    unused,
]
