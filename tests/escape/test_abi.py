"""Calls of i386 in a pod that names this ABI: filtered by the same names as native ones."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.needs import lacking

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="i386 is x86_64's")

SOURCE = Path(__file__).with_name("foreign.c")
KILLED = 128 + 31
EPERM, ENOENT, ENOSYS, EAFNOSUPPORT = 1, 2, 38, 97
CLONE_NEWUSER = str(0x10000000)
AT_FDCWD = str(2**32 - 100)

# (words for foreign.c, errno in the pod; None outside: whatever it is, it is not that)
REFUSED = {
    "mount": (["21", "none", "/tmp", "tmpfs", "0", "0"], EPERM, ["root"]),
    "umount": (["22", "/nowhere"], EPERM, ["root"]),
    "umount2": (["52", "/nowhere", "0"], EPERM, ["root"]),
    "chroot": (["61", "/"], EPERM, ["root"]),
    "stime": (["25", "0"], EPERM, []),
    "unshare": (["310", CLONE_NEWUSER], EPERM, ["root", "user"]),
    "ptrace": (["26", "0", "0", "0", "0"], EPERM, ["root", "user"]),
    "keyctl": (["288", "0", "0", "0"], ENOSYS, []),
    "io_uring_setup": (["425", "0", "0"], ENOSYS, ["root", "user"]),
    "open_tree": (["428", AT_FDCWD, "/", "0"], ENOSYS, ["root", "user"]),
    "clock_settime64": (["404", "99", "0"], EPERM, ["root", "user"]),
    "socket vsock": (["359", "40", "1", "0"], EAFNOSUPPORT, []),
    "socketcall": (["102", "1", "0"], ENOSYS, ["root", "user"]),
    "ioctl TIOCSTI": (["54", "99", str(0x5412), "0"], EPERM, ["root", "user"]),
    "vm86": (["166", "0", "0"], ENOSYS, []),
    "unknown": (["500", "0"], ENOSYS, []),
}


@pytest.fixture
def foreign(podsh: Podsh) -> str:
    """The program, in a directory of the caller's that its pods see."""
    folder = podsh.directory("foreign")
    binary = folder / "foreign"
    options = ["-m32", "-O1", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-fno-stack-protector"]
    done = subprocess.run(
        ["gcc", *options, "-o", str(binary), str(SOURCE)], capture_output=True, text=True
    )
    if done.returncode:
        lacking("gcc -m32", done.stderr)
    podsh.caller.own(binary)
    if podsh.outside(str(binary), "20").code != 0:
        lacking("i386 calls", "this kernel has none")
    extends = f'extends = "base"\n[[fs.bind]]\npath = "{folder}"\n'
    podsh.profile("native", extends)
    podsh.profile("foreign", extends + '[seccomp]\nabi = ["native", "i386"]\n')
    podsh.profile(
        "few",
        extends + '[seccomp]\nabi = ["native", "i386"]\nstrict = true\nallow = ["getpid"]\n',
    )
    return str(binary)


def inside(podsh: Podsh, profile: str, *argv: str) -> int:
    return podsh.run("run", "--rm", "-n", "abi", "-p", profile, "--", *argv).code


def test_killed_unless_the_profile_names_it(podsh: Podsh, foreign: str) -> None:
    assert inside(podsh, "native", foreign, "20") == KILLED
    assert inside(podsh, "foreign", foreign, "20") == 0


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_the_native_call_is(podsh: Podsh, foreign: str, name: str) -> None:
    words, errno, others = REFUSED[name]
    assert inside(podsh, "foreign", foreign, *words) == errno
    if podsh.caller.name in others and name != "mount":
        assert podsh.outside(foreign, *words).code != errno


def test_root_makes_no_setid_file(podsh: Podsh, foreign: str) -> None:
    """open with O_CREAT and S_ISUID, and chmod: as native ones, only root's pods are kept."""
    wanted = EPERM if podsh.caller.name == "root" else 0
    assert inside(podsh, "foreign", foreign, "5", "/tmp/x", str(0o102), str(0o4755)) == wanted
    assert inside(podsh, "foreign", foreign, "15", "/tmp", str(0o4755)) == wanted


def test_paths_are_asked_about(podsh: Podsh, foreign: str) -> None:
    """A file that the pod lacks: denied, since nobody is there, and told as of a native call."""
    hidden = podsh.file(podsh.base / "not-shown", "x")
    assert inside(podsh, "foreign", foreign, "5", "/etc/passwd", "0") == 0
    for words in (["5", str(hidden), "0"], ["295", AT_FDCWD, str(hidden), "0"]):
        assert inside(podsh, "foreign", foreign, *words) == ENOENT
        done = podsh.run("events", "--json")
        told = [json.loads(line) for line in done.out.splitlines()]
        paths = [event["path"] for event in told if event["ev"] == "denial"]
        assert paths[-1] == os.path.realpath(hidden)
        assert podsh.outside(foreign, *words).code == 0


def test_lists_hold_for_it(podsh: Podsh, foreign: str) -> None:
    assert inside(podsh, "few", foreign, "20") == 0  # getpid
    assert inside(podsh, "few", foreign, "64") == KILLED  # getppid
    done = podsh.run("events", "abi", "--json")
    told = [json.loads(line) for line in done.out.splitlines()]
    (event,) = [event for event in told if event["ev"] == "call"][-1:]
    assert (event["call"], event["abi"], event["verdict"]) == ("getppid", "i386", "killed")
    assert podsh.outside(foreign, "64").code == 0


def test_a_trace_counts_it(podsh: Podsh, foreign: str) -> None:
    output = podsh.base / "traced.pod"
    done = podsh.run("trace", "-o", str(output), "-p", "foreign", "--", foreign, "64")
    assert done.code == 0, done.err
    assert "seccomp_allow getppid" in output.read_text()
    words = REFUSED["mount"][0]
    mount = podsh.run("trace", "-o", str(output), "-p", "foreign", "--", foreign, *words)
    assert mount.code == EPERM
