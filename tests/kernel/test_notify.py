"""Seccomp notification: a held call is seen, let through, refused, answered."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.callers import Caller

# a child under a filter that sends mkdir(2) and getppid(2) to the listener, and its supervisor
SCRIPT = """
import ctypes, os, select, socket, struct, sys
from podsh.kernel import notify
from podsh.kernel.syscalls import number
libc = ctypes.CDLL(None, use_errno=True)
MKDIR, GETPPID, SECCOMP = (number(name) for name in ("mkdirat", "getppid", "seccomp"))
ours, theirs = socket.socketpair()
child = os.fork()
if child == 0:
    ours.close()
    code = b"".join(struct.pack("HBBI", *step) for step in [
        (0x20, 0, 0, 0), (0x15, 2, 0, MKDIR), (0x15, 1, 0, GETPPID),
        (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x7FC00000)])
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    listener = libc.syscall(SECCOMP, 1, 8, ctypes.c_char_p(program))
    assert listener >= 0, ctypes.get_errno()
    socket.send_fds(theirs, [b"x"], [listener])
    os.close(listener)
    for _ in range(4):
        ctypes.set_errno(0)
        result = libc.syscall(MKDIR, -100, b"/proc/podsh-test", 0o700)
        print("mkdir", result, ctypes.get_errno())
    print("getppid", libc.syscall(GETPPID))
    sys.stdout.flush()
    os._exit(0)
theirs.close()
_, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
print("sync", notify.sync_wake_up(listener))

def held(nr):
    call = notify.receive(listener)
    assert (call.nr, call.pid) == (nr, child), call
    assert notify.valid(listener, call.id)
    assert len(call.args) == 6
    return call.id

assert notify.proceed(listener, held(MKDIR))
assert notify.refuse(listener, held(MKDIR), 28)
assert notify.succeed(listener, held(MKDIR), 0)
notify.refuse(listener, held(MKDIR), 13)
ident = held(GETPPID)
assert notify.succeed(listener, ident, 4242)
os.waitpid(child, 0)
assert not notify.valid(listener, ident)
assert not notify.proceed(listener, ident)
events = select.poll()
events.register(listener, select.POLLIN)
assert events.poll(1000)[0][1] & select.POLLHUP
print("end")
"""


def test_held_calls(caller: Caller, command: Path) -> None:
    done = subprocess.run(
        [str(command.parent / "python"), "-I", "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd="/",
        **caller.popen(),
    )
    lines = done.stdout.splitlines()
    assert lines[-1:] == ["end"], done
    said = [line for line in lines if not line.startswith("sync")]
    assert said[:-1] == [
        "mkdir -1 2",  # what the kernel itself says in procfs
        "mkdir -1 28",
        "mkdir 0 0",
        "mkdir -1 13",
        "getppid 4242",
    ]
