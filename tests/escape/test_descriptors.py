"""Descriptors: 0, 1 and 2, and none of them leads to a file of the host's."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import PYTHON, refused

if TYPE_CHECKING:
    from tests.escape.yard import Yard
    from tests.helpers.runner import Podsh

LIST = """
import os
found = []
for fd in range(256):
    try:
        os.fstat(fd)
    except OSError:
        continue
    found.append(fd)
print(*found)
"""
# where each of 0-2 comes from: the mounts it is on that this namespace does not have
FOREIGN = """
import os, stat
with open("/proc/self/mountinfo") as stream:
    mounts = {line.split()[0] for line in stream}
for fd in range(3):
    kind = os.fstat(fd).st_mode
    with open(f"/proc/self/fdinfo/{fd}") as stream:
        info = dict(line.split()[:2] for line in stream)
    if not stat.S_ISFIFO(kind) and not stat.S_ISSOCK(kind) and info["mnt_id:"] not in mounts:
        print(fd, os.readlink(f"/proc/self/fd/{fd}"))
"""
# what standard input is
KIND = """
import os, stat
with open("/proc/self/mountinfo") as stream:
    mounts = {line.split()[0] for line in stream}
with open("/proc/self/fdinfo/0") as stream:
    info = dict(line.split()[:2] for line in stream)
kind = os.fstat(0).st_mode
own = stat.S_ISCHR(kind) and info["mnt_id:"] in mounts and os.fstat(0).st_rdev != 0x502
print("pipe" if stat.S_ISFIFO(kind) else "device of the pod's" if own else "other")
"""
OUTPUT = """
import os, stat
kind = os.fstat(1).st_mode
print("pipe" if stat.S_ISFIFO(kind) else "socket" if stat.S_ISSOCK(kind) else "other")
"""
REOPEN = """
import os, sys
os.close(os.open("/proc/self/fd/0", os.O_RDWR | os.O_NONBLOCK))
os.truncate("/proc/self/fd/0", 0)
"""


def test_nothing_above_two(yard: Yard) -> None:
    """Descriptors that podsh itself was given do not go in."""
    podsh = yard.podsh
    leaked = [os.open(podsh.home, os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY)]
    high = 200
    os.dup2(leaked[0], high)
    fds = (*leaked, high)
    try:
        inside = podsh.pod(PYTHON, "-c", LIST, pass_fds=fds)
        outside = podsh.outside(PYTHON, "-c", LIST, pass_fds=fds)
    finally:
        for fd in fds:
            os.close(fd)
    assert (inside.code, inside.out) == (0, "0 1 2\n"), inside.err
    assert outside.out == "0 1 2 " + " ".join(map(str, fds)) + "\n"


def test_nothing_above_two_on_a_terminal(yard: Yard) -> None:
    with yard.podsh.terminal("run", "--rm", "--", PYTHON, "-c", LIST) as terminal:
        assert terminal.wait() == 0
    assert terminal.output.endswith(b"0 1 2\r\n")


def test_nothing_above_two_by_exec(podsh: Podsh) -> None:
    """A program that is added to a live pod is no different."""
    podsh.run("run", "-d", "-n", "fds", "--", "sleep", "100")
    done = podsh.run("exec", "fds", "--", PYTHON, "-c", LIST)
    podsh.run("kill", "-s", "KILL", "fds")
    podsh.run("wait", "fds", "exit", "-t", "10")
    assert (done.code, done.out) == (0, "0 1 2\n"), done.err


@pytest.mark.parametrize("stdin", ["null", "pipe"])
def test_standard_descriptors_are_the_pods(stdin: str, yard: Yard) -> None:
    """Devices are the pod's own, /dev/null too; a pipe has no place in a file system."""
    given = b"" if stdin == "pipe" else None
    inside = yard.podsh.pod(PYTHON, "-c", FOREIGN, stdin=given)
    assert (inside.code, inside.out) == (0, ""), inside.err
    # in a mount namespace of its own the host's /dev/null is on a foreign mount
    outside = yard.podsh.outside("unshare", "-Urm", PYTHON, "-c", FOREIGN, stdin=None)
    assert "0 /dev/null" in outside.out, outside.err


def test_a_file_is_relayed(yard: Yard) -> None:
    """``podsh run -- CMD < file``: the pod reads it, but cannot reopen it, larger or writable."""
    podsh = yard.podsh
    content = os.urandom(300_000)
    path = podsh.file(podsh.home / "input", content)
    copy = podsh.home / "output"

    def run(*argv: str) -> int:
        with open(path, "rb") as source, open(copy, "wb") as sink:
            process = podsh.start(
                *argv, stdin=source.fileno(), stdout=sink.fileno(), stderr=subprocess.PIPE, raw=True
            )
            process.communicate(timeout=60)
            return process.returncode

    assert run(str(podsh.command), "run", "--rm", "--", "cat") == 0
    assert copy.read_bytes() == content
    assert run(str(podsh.command), "run", "--rm", "--", PYTHON, "-c", REOPEN) != 0
    assert path.read_bytes() == content
    assert run(PYTHON, "-c", REOPEN) == 0
    assert path.read_bytes() == b""


@pytest.mark.parametrize("flags", [os.O_RDONLY | os.O_DIRECTORY, os.O_PATH], ids=["dir", "path"])
def test_a_way_into_the_host_is_refused(flags: int, yard: Yard) -> None:
    """A directory or O_PATH descriptor as standard input is a way out by openat(2)."""
    look = ("ls", "-a", "/proc/self/fd/0/")
    fd = os.open(yard.podsh.home, flags)
    try:
        inside = yard.podsh.pod(*look, stdin=fd)
        outside = yard.podsh.outside(*look, stdin=fd)
    finally:
        os.close(fd)
    assert refused(inside), inside
    assert outside.code == 0, outside.err


def _kinds() -> dict[str, int]:
    """Descriptors that are more than bytes: each is a handle on something of the host's."""
    ours, theirs = socket.socketpair()
    ours.close()
    return {
        "socket": theirs.detach(),
        "memfd": os.memfd_create("podsh-test"),
        "namespace": os.open("/proc/self/ns/net", os.O_RDONLY),
        "process": os.pidfd_open(os.getpid()),
        "event": os.eventfd(0),
        "terminals": os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY),
    }


@pytest.mark.parametrize("kind", ["socket", "memfd", "namespace", "process", "event", "terminals"])
def test_handles_do_not_go_in(kind: str, yard: Yard) -> None:
    """Whatever standard input is, in the pod it is a pipe or a device of the pod's, or refused."""
    fds = _kinds()
    try:
        inside = yard.podsh.pod(PYTHON, "-c", KIND, stdin=fds[kind])
        outside = yard.podsh.outside(PYTHON, "-c", KIND, stdin=fds[kind])
    finally:
        for fd in fds.values():
            os.close(fd)
    assert inside.out in ("pipe\n", "device of the pod's\n") or refused(inside), inside
    assert outside.out == "other\n"


def test_standard_output_is_relayed_too(yard: Yard) -> None:
    """A socket as standard output: the bytes get through, the socket does not."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = yard.podsh.start(
            "run", "--rm", "--", PYTHON, "-c", OUTPUT, stdout=theirs.fileno()
        )
        theirs.close()
        process.communicate(timeout=60)
        ours.settimeout(5)
        assert ours.recv(100) == b"pipe\n"
