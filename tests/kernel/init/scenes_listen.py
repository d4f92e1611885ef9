"""Scenes: programs whose filter notifies; their listener is there before their exec."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import struct
import traceback
from typing import TYPE_CHECKING

from podsh.jail import orders
from podsh.kernel import memory, notify
from podsh.kernel.syscalls import number
from tests.kernel.init.pod import TIMEOUT_S, Pod, Program, eventually, open_fds

if TYPE_CHECKING:
    from collections.abc import Callable

NOTIFY, ALLOW, ERRNO = 0x7FC00000, 0x7FFF0000, 0x00050000
EXECVE, CHDIR, SECCOMP = (number(name) for name in ("execve", "chdir", "seccomp"))


def code(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *each) for each in instructions)


# both calls of these, whatever their arguments
FILTER = code(
    (0x20, 0, 0, 0),
    (0x15, 1, 0, EXECVE),
    (0x15, 0, 1, CHDIR),
    (0x06, 0, 0, NOTIFY),
    (0x06, 0, 0, ALLOW),
)


class Listening:
    """A program that was ordered with ``listen``; its exec is held."""

    def __init__(self, pod: Pod, *argv: str) -> None:
        self.pod = pod
        self.id = pod.ask(*argv, filter=FILTER, listen=True)
        message = pod.expect(orders.LISTENER, self.id)
        (self.listener,) = message.fds
        self.pid, self.killable = message.pid, message.killable

    def held(self) -> notify.Notification:
        """The next held call."""
        assert select.select([self.listener], [], [], TIMEOUT_S)[0], "no call is held"
        return notify.receive(self.listener)

    def started(self) -> Program:
        message = self.pod.expect(orders.STARTED, self.id)
        return Program(self.pod, self.id, message.fds[0], message.pid)

    def silent(self) -> None:
        """init has said nothing more yet."""
        try:
            raise AssertionError(self.pod.init.receive())
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self.listener)


def listening() -> None:
    """The exec waits for an answer, can be read, and is followed by the program's own calls."""
    with Pod() as pod:
        pod.launch()
        before = open_fds(pod.pid)
        one = Listening(pod, "/bin/sh", "-c", "cd /usr && pwd; ls /proc/self/fd")
        assert one.killable
        call = one.held()
        assert (call.nr, call.pid) == (EXECVE, one.pid)
        # not yet dumpable: only who has the pod's capabilities may look
        assert memory.Reader().bytes(one.pid, call.args[0], 8) == b"/bin/sh\0"
        one.silent()
        assert notify.proceed(one.listener, call.id)
        program = one.started()
        assert program.pid == one.pid
        call = one.held()
        assert (call.nr, memory.Reader().bytes(one.pid, call.args[0], 5)) == (CHDIR, b"/usr\0")
        assert notify.proceed(one.listener, call.id)
        # ls, in a child of the shell
        call = one.held()
        assert call.nr == EXECVE
        assert notify.proceed(one.listener, call.id)
        assert program.output() == "/usr\n0  1  2  3\n"
        assert program.exited().status == 0
        one.close()
        eventually(lambda: open_fds(pod.pid) == before, "init keeps nothing")


def listening_refused() -> None:
    """What the monitor answers to the exec is why it failed; without a monitor it is ENOSYS."""
    with Pod() as pod:
        pod.launch()
        one = Listening(pod, "/bin/true")
        notify.refuse(one.listener, one.held().id, errno.EACCES)
        message = pod.expect_failure(one.id)
        assert (message.step, message.path, message.errno) == ("execve", "/bin/true", errno.EACCES)
        one.close()
        one = Listening(pod, "/bin/true")
        one.close()
        message = pod.expect_failure(one.id)
        assert (message.step, message.errno) == ("execve", errno.ENOSYS)
        # by PATH, each candidate is held on its own
        one = Listening(pod, "true")
        notify.refuse(one.listener, one.held().id, errno.ENOENT)
        call = one.held()
        assert memory.Reader().bytes(one.pid, call.args[0], 10) == b"/bin/true\0"
        notify.proceed(one.listener, call.id)
        program = one.started()
        assert program.output() == ""
        assert program.exited().status == 0
        one.close()
        message = pod.expect_failure(pod.ask("true", filter=b"\xff" * 8, listen=True))
        assert (message.step, message.errno) == ("seccomp", errno.EINVAL)


def listening_ends() -> None:
    """A program that dies while its exec is held, two at once, and a whole pod that does."""
    with Pod() as pod:
        pod.launch()
        one, two = Listening(pod, "/bin/true"), Listening(pod, "/bin/true")
        call = one.held()
        os.kill(one.pid, signal.SIGKILL)
        program = one.started()
        assert os.WTERMSIG(program.exited().status) == signal.SIGKILL
        assert not notify.valid(one.listener, call.id)
        notify.proceed(two.listener, two.held().id)
        program = two.started()
        assert program.exited().status == 0
        for each in (one, two):
            events = select.poll()
            events.register(each.listener, select.POLLIN)
            assert events.poll(1000)[0][1] & select.POLLHUP
            each.close()
        last = Listening(pod, "/bin/true")
        last.held()
        os.kill(pod.pid, signal.SIGKILL)
        while pod.receive() is not None:
            pass
        last.close()


def listening_before_5_19() -> None:
    """Without WAIT_KILLABLE_RECV it listens all the same, and says so."""
    # seccomp(2) with that flag: as an older kernel answers
    older = code(
        (0x20, 0, 0, 0),
        (0x15, 0, 2, SECCOMP),
        (0x20, 0, 0, 24),  # the low half of args[1]
        (0x45, 1, 0, 1 << 5),
        (0x06, 0, 0, ALLOW),
        (0x06, 0, 0, ERRNO | errno.EINVAL),
    )
    child = os.fork()
    if child == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            buffer = ctypes.create_string_buffer(older)
            program = struct.pack("HxxxxxxQ", len(older) // 8, ctypes.addressof(buffer))
            assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
            assert libc.syscall(SECCOMP, 1, 0, ctypes.c_char_p(program)) == 0
            with Pod() as pod:
                pod.launch()
                one = Listening(pod, "/bin/true")
                assert not one.killable
                notify.proceed(one.listener, one.held().id)
                assert one.started().exited().status == 0
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


SCENES: list[Callable[[], None]] = [
    listening,
    listening_refused,
    listening_ends,
    listening_before_5_19,
]
