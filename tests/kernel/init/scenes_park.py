"""Scenes: a process that waits, under the usual filter, to be the program."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from podsh.jail import encode, orders
from podsh.kernel import notify
from tests.kernel.init.pod import TEMPLATE_FD, Pod, Program, children_of, eventually
from tests.kernel.init.scenes_listen import ALLOW, EXECVE, FILTER, NOTIFY, code

if TYPE_CHECKING:
    from collections.abc import Callable

# the first of its calls alone
OTHER = code((0x20, 0, 0, 0), (0x15, 0, 1, EXECVE), (0x06, 0, 0, NOTIFY), (0x06, 0, 0, ALLOW))
# its number in the pod
SECOND = 2


class Parking(Pod):
    """``parked``: LISTENER of the one that waits. ``launch`` comes after, with ``more``."""

    def __init__(self, *more: orders.Record) -> None:
        super().__init__()
        records = encode.plan(self.records)
        self.init.prepare(TEMPLATE_FD, records, True, self.mounts)
        self.init.settle()
        for fd in self.mounts:
            os.close(fd)
        self.mounts, self.records = [], [*more]
        self.parked = self.init.park(
            encode.program(argv=("",), env=(), cwd=(), filter=FILTER, listen=True)
        )
        (self.listener,) = self.parked.fds
        (self.waits,) = children_of(self.init.pid)

    def __exit__(self, *_: object) -> None:
        os.close(self.listener)
        super().__exit__(*_)

    def started(self, ident: int) -> Program:
        message = self.expect(orders.STARTED, ident)
        return Program(self, ident, message.fds[0], message.pid)

    def goes_on(self, call: int) -> None:
        """Let the one call that is held go on."""
        note = notify.receive(self.listener)
        assert note.nr == call, note
        notify.proceed(self.listener, note.id)

    def forked(self, *argv: str, **how: object) -> Program:
        """A program that another process is: the one that waited has ended."""
        ident = self.ask(*argv, **how)
        (note,) = self.expect(orders.LISTENER, ident).fds if how.get("listen") else (-1,)
        if note >= 0:
            held = notify.receive(note)
            notify.proceed(note, held.id)
            os.close(note)
        program = self.started(ident)
        assert program.pid != self.waits
        eventually(lambda: self.waits not in children_of(self.pid), "it waits no more")
        return program


def who_waits_becomes_the_program() -> None:
    """Its directory, descriptors, limits, environment, size are those of RUN; nobody is asked for
    what it opens on the way, and its exec is held as ever."""
    reading, writing = os.pipe()
    with Parking() as pod:
        pod.launch()
        script = 'echo $$ $X; pwd; umask; ulimit -n; stty size; read line; echo "$line" >&2'
        ident = pod.ask(
            *("sh", "-c", script),
            stdio=(-1, None, writing),
            env=["PATH=/usr/bin:/bin", "X=given"],
            cwd=["/nowhere", "/tmp"],
            umask=0o027,
            rows=11,
            cols=22,
            rlimits=[(7, 99, 99)],
            filter=FILTER,
            listen=True,
        )
        pod.goes_on(EXECVE)
        program = pod.started(ident)
        assert program.pid == pod.waits
        pod.goes_on(EXECVE)  # stty
        assert program.output() == f"{SECOND} given\n/tmp\n0027\n99\n"
        assert program.exited().status == 0
        os.close(writing)
        assert b"standard input" in os.read(reading, 200)  # stty's, of /dev/null
    os.close(reading)


def another_filter_is_another_process() -> None:
    with Parking() as pod:
        pod.launch()
        program = pod.forked("true", filter=OTHER, listen=True)
        assert program.exited().status == 0


def other_credentials_are_another_process() -> None:
    with Parking() as pod:
        pod.launch()
        assert pod.forked("true").exited().status == 0
    with Parking() as pod:
        pod.launch()
        program = pod.forked("true", filter=FILTER, listen=True, fresh=True)
        assert program.exited().status == 0
    with Parking() as pod:
        pod.launch()
        program = pod.forked("true", filter=FILTER, listen=True, terminal=False)
        assert program.exited().status == 0


def what_the_jail_gets_later_it_has_not_got() -> None:
    """A second user namespace is PID 1's and its later children's."""
    with Parking(encode.inner(False)) as pod:
        pod.launch()
        assert pod.waits not in children_of(pod.pid)
        assert pod.forked("true", filter=FILTER, listen=True).exited().status == 0


def who_waits_was_killed() -> None:
    """Before the jail is built and after that: buried, and the program is another."""
    with Parking() as pod:
        os.kill(pod.waits, signal.SIGKILL)
        eventually(lambda: children_of(pod.init.pid) == [], "it is buried")
        pod.launch()
        assert pod.forked("true", filter=FILTER, listen=True).exited().status == 0
    with Parking() as pod:
        pod.launch()
        os.kill(pod.waits, signal.SIGKILL)
        eventually(lambda: children_of(pod.pid) == [], "it is buried")
        assert pod.forked("true", filter=FILTER, listen=True).exited().status == 0


def what_is_mounted_later_it_sees() -> None:
    """It was there before the root was the pod's."""
    with Parking() as pod:
        pod.bind("/etc", "/tmp/etc")
        # counted from what was prepared
        pod.records = [encode.mount(pod.init.prepared, "/tmp/etc", False, False)]
        pod.launch()
        ident = pod.ask("ls", "/", "/tmp/etc/hostname", "/s", filter=FILTER, listen=True)
        pod.goes_on(EXECVE)
        program = pod.started(ident)
        shown = program.output()
        assert "/tmp/etc/hostname\n" in shown
        assert "cannot access '/s'" in shown
        assert "\nproc\n" in shown.replace("  ", "\n")
        assert program.exited().status != 0


SCENES: tuple[Callable[[], None], ...] = (
    who_waits_becomes_the_program,
    another_filter_is_another_process,
    other_credentials_are_another_process,
    what_the_jail_gets_later_it_has_not_got,
    who_waits_was_killed,
    what_is_mounted_later_it_sees,
)
