"""The zygote: a frozen, single-threaded interpreter in U0/M0 that forks monitors.

Started by the portal through ``podsh-init enter``. It keeps a few standby monitors, which read
launch messages from one shared socket themselves: a launch costs no hop through here.
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import socket
import sys
import time
import traceback

from podsh.errors import PodshError
from podsh.kernel import process
from podsh.kernel.pages import Pages
from podsh.monitor import main as monitor
from podsh.monitor import rehearsal
from podsh.monitor.channel import state_of
from podsh.monitor.launch import Habit
from podsh.portal import stamp

STANDBY = 2
REFILL_MS = 30
CRASH_S = 0.2
HABIT_BYTES = 64 << 10


def main() -> None:
    """``python -I -m podsh.portal.zygote SOCKET_FD TEMPLATE_FD HABIT_FD STAMP``; ends with its
    portal. HABIT_FD: a socket on which the portal says what standbys do beforehand. STAMP: what
    the portal's files are."""
    if sys.argv[4:] != [stamp.now()]:
        sys.exit(str(stamp.changed()))
    requests = socket.socket(fileno=int(sys.argv[1]))
    template_fd = int(sys.argv[2])
    os.set_inheritable(requests.fileno(), False)
    os.set_inheritable(template_fd, False)
    habits = socket.socket(fileno=int(sys.argv[3]))
    os.set_inheritable(habits.fileno(), False)
    process.set_name("podsh: zygote")
    process.set_dumpable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for _ in range(rehearsal.TIMES):
        rehearsal.warm_up(misses=True)
    # then the cache of attributes knows what monitors look up, and nothing that they would put out
    sys._clear_type_cache()
    rehearsal.warm_up(misses=True)
    gc.collect()
    gc.freeze()
    _serve(requests, template_fd, habits, _pages())


def _pages() -> Pages | None:
    try:
        return Pages()
    except OSError:
        return None  # a pod takes more memory then


def _serve(
    requests: socket.socket, template_fd: int, habits: socket.socket, pages: Pages | None
) -> None:
    taken_in, taken_out = os.pipe()
    children, wake = socket.socketpair()
    children.setblocking(False)
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(taken_in, select.POLLIN)
    poll.register(children, select.POLLIN)
    # no POLLIN: messages are for the standbys; the hang-up of the portal is for us
    poll.register(requests, 0)
    standby: set[int] = set()

    told = habits.recv(HABIT_BYTES)
    if not told:
        return  # the portal is gone already
    habit = _habit(told)
    poll.register(habits, select.POLLIN)

    def fork() -> None:
        standby.add(_fork(requests, template_fd, habit, pages, taken_in, taken_out))

    ending = False
    not_before = 0.0  # for a while after a standby that ended by itself: the next may do so too
    while True:
        # the next one is forked beside a launch only where none is left; after the portal's end for
        # what it had still ordered
        wait_ms = max(int((not_before - time.monotonic()) * 1000), 0)
        while not wait_ms and not standby and not (ending and _is_empty(requests)):
            fork()
        if ending and not standby:
            return
        enough = ending or len(standby) >= STANDBY
        events = poll.poll(wait_ms or (None if enough else REFILL_MS))
        if not events and not wait_ms:
            fork()
        for fd, _ in events:
            if fd == taken_in:
                standby -= _pids(os.read(taken_in, 4096))
            elif fd == habits.fileno():
                if told := habits.recv(HABIT_BYTES):
                    habit = _habit(told)
                else:
                    poll.unregister(habits)  # the portal's end, which shows below
            elif fd == children.fileno():
                children.recv(4096)
                gone = _reaped()
                if gone & standby and not ending:
                    not_before = time.monotonic() + CRASH_S
                standby -= gone
            elif fd == requests.fileno():
                # the standbys read the same end of file; monitors of live pods go on
                poll.unregister(requests)
                ending = True


def _habit(told: bytes) -> Habit:
    """As the portal told it: (number, operations, number of a policy, the policy or None)."""
    number, rows, policy_number, policy = marshal.loads(told)
    state = None
    if policy is not None:
        try:
            state = state_of(policy)
        except PodshError:
            pass  # told by the pod that decides by it
        gc.freeze()
    return Habit(number, rows, policy_number, state)


def _is_empty(requests: socket.socket) -> bool:
    """Whether no launch waits there for a standby."""
    try:
        return not requests.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True


def _pids(data: bytes) -> set[int]:
    return {int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)}


def _reaped() -> set[int]:
    gone: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return gone
        if pid == 0:
            return gone
        gone.add(pid)


def _fork(
    requests: socket.socket,
    template_fd: int,
    habit: Habit,
    pages: Pages | None,
    taken_in: int,
    taken_out: int,
) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(taken_in)
        os.setsid()
        # forked anew: what prctl(2) says of a process is kept, but for the death signal
        process.set_name("podsh: standby")

        def taken() -> None:
            os.write(taken_out, os.getpid().to_bytes(4, "little"))
            os.close(taken_out)

        monitor.standby(requests, template_fd, habit, pages, taken)
        code = 0
    except BaseException:
        traceback.print_exc()  # stderr is the portal's log
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
