"""The filter in the kernel: calls made under it, as root and as an ordinary user.

Each refusal is also tried without the filter, so that a test shows that it could have failed.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh.kernel import seccomp, syscalls
from podsh.kernel.fds import memfd
from podsh.kernel.seccomp import FilterSpec
from tests.helpers.needs import lacking

if TYPE_CHECKING:
    from tests.helpers.callers import Caller

# given as text, and to the system's interpreter: an ordinary user may not reach a checkout
SCRIPT = Path(__file__).with_name("under_filter.py").read_text()
PYTHON = os.path.join(sys.base_exec_prefix, "bin", "python3")
NR = syscalls.NAMES[syscalls.native()]
GARBAGE = 0x12345678 << 32

EPERM, ENOSYS = errno.EPERM, errno.ENOSYS
CLONE_NEWUSER = 0x10000000


@pytest.fixture
def folder(caller: Caller, ground: Path) -> Path:
    """A directory of the caller's own."""
    path = ground / f"folder-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    caller.own(path)
    return path


def under(
    caller: Caller, spec: FilterSpec | None, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run under_filter.py with the filter of ``spec``, or with none."""
    # bash puts the program on descriptor 3
    with memfd(b"" if spec is None else seccomp.build(spec)) as program:
        fd = program.fileno()
        shell = ["bash", "-c", f'exec 3<"/proc/self/fd/{fd}" "$@"', "bash"]
        return subprocess.run(
            [*shell, PYTHON, "-I", "-c", SCRIPT, *arguments],
            pass_fds=(fd,),
            capture_output=True,
            text=True,
            cwd=cwd or "/",
            timeout=60,
            **caller.popen(),
        )


def errnos(
    caller: Caller, spec: FilterSpec | None, calls: list[list[object]], cwd: Path | None = None
) -> list[int]:
    numbered = [[NR[str(name)] if isinstance(name, str) else name, *args] for name, *args in calls]
    done = under(caller, spec, json.dumps(numbered), cwd=cwd)
    assert done.returncode == 0, done.stderr
    found: list[int] = json.loads(done.stdout)
    return found


# call, what it gives under the filter; without it none of these gives that
REFUSED: list[tuple[list[object], int]] = [
    (["mount", "none", "/nowhere", "tmpfs", 0, 0], EPERM),
    (["open_tree", -100 & 0xFFFFFFFF, "/", 0], ENOSYS),
    (["fsopen", "nothing", 0], ENOSYS),
    (["setns", 0xFFFFFFFF, 0], EPERM),
    (["unshare", CLONE_NEWUSER | GARBAGE], EPERM),
    (["clone", CLONE_NEWUSER | 0x200, 0, 0, 0, 0], EPERM),
    (["clone3", 0, 0], ENOSYS),
    (["ptrace", 999, 1], EPERM),
    (["process_vm_readv", 0x7FFFFFF, 0, 0, 0, 0, 0], EPERM),
    (["bpf", 999, 0, 0], EPERM),
    (["keyctl", 0, -1 & 0xFFFFFFFF, 0], ENOSYS),
    (["add_key", 0, 0, 0, 0, 0], ENOSYS),
    (["io_uring_setup", 0, 0], ENOSYS),
    (["open_by_handle_at", 0, 0, 0], EPERM),
    (["clock_settime", 99, 0], EPERM),
    (["kexec_load", 0, 99, 0, 99], EPERM),
    (["delete_module", 0, 0xFFFF], EPERM),
    (["ioctl", 0xFFFFFFFF, 0x5412 | GARBAGE, 0], EPERM),
    (["ioctl", 0xFFFFFFFF, 0x541C, 0], EPERM),
    (["ioctl", 0xFFFFFFFF, 0x5423 | GARBAGE, 0], EPERM),
    (["socket", 16 | GARBAGE, 3, 12], errno.EPROTONOSUPPORT),
    (["socket", 10, 99, 262 | GARBAGE], errno.EPROTONOSUPPORT),
    (["socketpair", 2, 1, 0, 0], errno.EAFNOSUPPORT),
    (["socket", 1, 2, 0], errno.EPROTONOSUPPORT),
    (["socket", 1 | GARBAGE, 3 | 0x80800 | GARBAGE, 0], errno.EPROTONOSUPPORT),
    (["socketpair", 1, 2 | 0x80000, 0, 0], errno.EPROTONOSUPPORT),
]


@pytest.mark.parametrize(("call", "expected"), REFUSED, ids=lambda item: str(item)[:40])
def test_refusals(caller: Caller, call: list[object], expected: int) -> None:
    assert errnos(caller, FilterSpec(), [call]) == [expected]
    same = call[0] in ("kexec_load", "delete_module", "bpf") and caller.name == "user"
    if not same and call[0] not in ("keyctl", "add_key", "setns"):
        assert errnos(caller, None, [call]) != [expected]


def test_unknown_and_ordinary_calls(caller: Caller) -> None:
    calls: list[list[object]] = [[nr, 0, 0, 0] for nr in (400, 470, 500, 1000)]
    assert errnos(caller, FilterSpec(), calls) == [ENOSYS] * 4
    fine: list[list[object]] = [
        ["getpid"],
        ["socket", 1, 1, 0],
        ["socket", 2, 1, 0],
        ["socket", 16, 3, 0],
        ["socket", 16, 3 | 0x80000, 15],
        ["socket", 1 | GARBAGE, 1 | 0x80800, 0],
        ["socket", 1, 5, 0],
        ["socket", 2, 2, 0],
        ["openat", -100 & 0xFFFFFFFF, "/etc/passwd", 0, 0],
        ["unshare", 0x400],  # CLONE_FS
        ["prctl", 15, "name", 0, 0, 0],
    ]
    assert errnos(caller, FilterSpec(), fine) == [0] * len(fine)


def setid_calls(folder: str) -> list[list[object]]:
    at = -100 & 0xFFFFFFFF
    create, temporary = 0o102, 0o20200002
    calls: list[list[object]] = [
        ["fchmodat", at, "file", 0o4755],
        ["fchmodat2", at, "file", 0o2755 | 1 << 40, 0],
        ["fchmod", 3, 0o6711],
        ["openat", at, "new1", create | GARBAGE, 0o4755],
        ["openat", at, folder, temporary, 0o2755 | GARBAGE],
        ["mknodat", at, "new2", 0o104755, 0],
        ["mkdirat", at, "new3", 0o2755],
    ]
    if "chmod" in NR:  # aarch64 has only the calls above
        calls += [
            ["chmod", "file", 0o4755 | GARBAGE],
            ["creat", "new4", 0o4755],
            ["open", "new5", create, 0o2755 | GARBAGE],
            ["open", folder, temporary, 0o4700],
            ["mknod", "new6", 0o102755, 0],
            ["mkdir", "new7", 0o6755],
        ]
    return calls


def test_no_setid_files(caller: Caller, folder: Path) -> None:
    calls = setid_calls(str(folder))
    opened = ["openat", -100 & 0xFFFFFFFF, "file", 0, 0]  # becomes descriptor 3
    (folder / "file").touch(0o600)
    caller.own(folder / "file")

    found = errnos(caller, FilterSpec(refuse_setid=True), [opened, *calls], cwd=folder)
    assert found == [0] + [EPERM] * len(calls)
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").stat().st_mode & 0o7777 == 0o600

    fine: list[list[object]] = [
        ["fchmodat", -100 & 0xFFFFFFFF, "file", 0o1755],
        ["openat", -100 & 0xFFFFFFFF, "plain", 0o102, 0o755],
        ["openat", -100 & 0xFFFFFFFF, "plain", 0o2, 0o4755],  # no O_CREAT: no mode
        ["mkdirat", -100 & 0xFFFFFFFF, "folder", 0o1777],
    ]
    assert errnos(caller, FilterSpec(refuse_setid=True), fine, cwd=folder) == [0] * 4
    openat2 = [["openat2", -100 & 0xFFFFFFFF, "file", 0, 0]]
    assert errnos(caller, FilterSpec(refuse_setid=True), openat2, cwd=folder) == [ENOSYS]
    assert errnos(caller, FilterSpec(), openat2, cwd=folder) == [errno.EINVAL]

    assert errnos(caller, None, [opened, *calls], cwd=folder)[:7] == [0] * 7
    assert (folder / "new1").stat().st_mode & 0o7000 == 0o4000


def test_new_filters(caller: Caller) -> None:
    """Refused as by a kernel that has none, else left to the program."""
    calls: list[list[object]] = [["seccomp", 2, 0, 0], ["prctl", 22 | GARBAGE, 2, 0, 0, 0]]
    assert errnos(caller, FilterSpec(new_filters=False), calls) == [ENOSYS, errno.EINVAL]
    assert errnos(caller, FilterSpec(), calls) == [errno.EFAULT, errno.EFAULT]


def test_ptrace_and_nesting(caller: Caller) -> None:
    calls: list[list[object]] = [["ptrace", 0, 0, 0, 0], ["unshare", CLONE_NEWUSER]]
    assert errnos(caller, FilterSpec(ptrace=True, nesting=True), calls) == [0, 0]


@pytest.mark.skipif(syscalls.native() != "x86_64", reason="foreign ABIs of x86_64")
@pytest.mark.parametrize("abi", ["i386", "x32"])
def test_foreign_abis_are_killed(caller: Caller, abi: str) -> None:
    bare = under(caller, None, abi)
    if abi == "i386" and bare.stdout.strip() != "True":
        lacking("i386 calls", f"this kernel has none: {bare.stdout}{bare.stderr}")
    killed = under(caller, FilterSpec(), abi)
    assert killed.returncode == -signal.SIGSYS
    assert killed.stdout == ""


REAL = """
import os, socket, subprocess, tempfile, threading
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
done = subprocess.run(["sh", "-c", "ls / | wc -l; exit 3"], stdout=subprocess.DEVNULL)
assert done.returncode == 3
with tempfile.TemporaryDirectory() as folder:
    open(folder + "/f", "w").write("x")
    os.chmod(folder + "/f", 0o755)
a, b = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname()).close()
pid, master = os.forkpty()
if pid == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
print("fine")
"""


@pytest.mark.parametrize("setid", [False, True])
def test_real_programs_run(caller: Caller, folder: Path, setid: bool) -> None:
    spec = FilterSpec(refuse_setid=setid, new_filters=False)
    done = under(caller, spec, "exec", PYTHON, "-c", REAL, cwd=folder)
    assert (done.stdout, done.stderr) == ("fine\n", "")
