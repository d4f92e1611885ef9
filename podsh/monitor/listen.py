"""The request channel: a thread per listener answers what is there, and passes on what is lacking.

Every held call goes on in the end, and the kernel decides; only what is mounted before that may
differ. So what is read of a program's memory is never a verdict.
"""

from __future__ import annotations

import _thread
import errno
import os
import select
import sys
import traceback
from typing import TYPE_CHECKING

from podsh.jail.known import kernel_devices
from podsh.jail.wants import Want, drop, wants
from podsh.kernel import abis, notify, syscalls
from podsh.kernel.answers import Answers, Desk, Rule
from podsh.kernel.memory import Reader
from podsh.kernel.notify import Notification
from podsh.kernel.pathcalls import CALLS, O_CREAT, O_TMPFILE_BIT, O_TRUNC, W_OK, Act

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.jail.live import Live
    from podsh.monitor.calls import Calls

# the thread goes on at once when a call comes, whatever the loop is doing
SWITCH_S = 1e-5
_STACK_BYTES = 256 << 10
_WRITES = {
    Act.OPEN: 3 | O_CREAT | O_TRUNC | O_TMPFILE_BIT,
    Act.MODE: W_OK,
    Act.READ: 0,
}


class Listener(int):
    """Its descriptor: closed once the thread has ended that serves it, and no call of it is held;
    until then the number is nobody else's."""

    __slots__ = ()

    def __del__(self) -> None:
        os.close(self)


class Held:
    """A call that lacks something. Answered once, from any thread."""

    __slots__ = ("_listener", "id", "pid", "wants")

    def __init__(self, listener: int, ident: int, pid: int, lacking: list[Want]) -> None:
        self._listener = listener
        self.id = ident
        self.pid = pid  # of the thread
        self.wants = lacking

    def proceed(self) -> bool:
        """Let the kernel carry it out. False: the caller is gone."""
        drop(self.wants)
        self.wants = []
        return notify.proceed(self._listener, self.id)

    def interrupt(self) -> bool:
        """Have it end for a signal that waits: begun again if its handler says so (SA_RESTART)."""
        drop(self.wants)
        self.wants = []
        return notify.refuse(self._listener, self.id, notify.ERESTARTSYS)

    def alive(self) -> bool:
        """Whether its caller still waits."""
        return notify.valid(self._listener, self.id)


def _rules() -> list[Rule]:
    """The calls that only look, or execute."""
    found = []
    for number, name in _NAMES.items():
        call = CALLS.get(name)
        if call is None or len(call.names) > 1:
            continue
        spot = call.names[0]
        if spot.act in _WRITES or spot.act is Act.EXECUTE:
            by = -1 if spot.by is None else spot.by
            flags = -1 if call.flags is None else call.flags
            writes = _WRITES.get(spot.act, 0)
            found.append(Rule(number, spot.path, by, flags, spot.act in _WRITES, writes))
    return found


# made once, before the monitors are forked
_NAMES = {number: name for name, number in syscalls.NAMES.get(syscalls.native(), {}).items()}
_RULES = _rules()
_SIMPLE = dict.fromkeys(_NAMES, 0)


class Listeners:
    """All listeners of one pod. What is not there at once waits until ``decide_by`` was called."""

    def __init__(self, live: Live, calls: Calls | None = None) -> None:
        """calls: of a pod with lists of calls, or one that is traced."""
        self.live = live
        self.served: set[int] = set()  # listeners, each by a thread
        self._undecided = _thread.allocate_lock()
        self._undecided.acquire()
        self._abandoned = False
        self._lacking: Callable[[Held], None]
        self._connects: Callable[[int, Notification], bool]
        self._arch = syscalls.native()
        self._names = _NAMES
        self._calls = calls
        self._simple = _SIMPLE if calls is None else calls.simple
        self._audit = syscalls.AUDIT_ARCH.get(self._arch, 0)
        # where programs make roots of their own, or calls are counted, each is looked at here
        all_here = calls is not None or live.nested
        self._answers = Answers(self._audit, live.root, () if all_here else _RULES)
        if not all_here:
            self._answers.connect(syscalls.number("connect"))
        for device in live.own:
            self._answers.own(device)
        for device in live.masks:
            self._answers.masks(device)

    def misses(self) -> int:
        """Where plain misses come from now on: a descriptor to wait for, then ``missed``. Before
        anything is listened to."""
        return self._answers.misses()

    def missed(self) -> Held | None:
        """The next of them. None: nothing that is ever given."""
        ident, device, listener, pid, fd, is_dir, path = self._answers.miss()
        if device in kernel_devices():
            os.close(fd)
            notify.proceed(listener, ident)
            return None
        return Held(listener, ident, pid, [Want(path, "read", fd, is_dir, True, "", ())])

    def decide_by(
        self, lacking: Callable[[Held], None], connects: Callable[[int, Notification], bool]
    ) -> None:
        """Once. lacking: called in a thread, with what a call lacks. connects: as well, answers
        connect(2); True if there was nothing at a path that it names."""
        self._lacking = lacking
        self._connects = connects
        self._undecided.release()

    def abandon(self) -> None:
        """Its pod is looked at by others: what it has is given up once who it listens to has
        ended. Instead of ``decide_by``."""
        self._abandoned = True
        self._undecided.release()

    @property
    def count(self) -> int:
        """How many calls came so far."""
        return self._answers.count

    def listen(self, listener: int) -> None:
        """Serve ``listener``, which is ours now, until nobody is left under its filter."""
        sys.setswitchinterval(SWITCH_S)
        notify.sync_wake_up(listener)
        # not threading's: what that does after a fork costs each monitor 0.4 MiB
        _thread.stack_size(_STACK_BYTES)
        owned = Listener(listener)
        self.served.add(owned)
        _thread.start_new_thread(self._serve, (owned,))

    def forget(self) -> None:
        """Something was taken away: nothing is known any more."""
        self._answers.forget()

    def hide(self, device: int) -> None:
        """What lies on ``device`` hides what the host has there."""
        if device not in self.live.masks:
            self.live.masks.add(device)
            self._answers.masks(device)

    def _serve(self, listener: int) -> None:
        desk = Desk(self._answers)
        try:
            self._loop(listener, desk)
        finally:
            self.served.discard(listener)
            desk.close()
            if self._abandoned:
                self._answers.close()
                self.live.close()

    def _loop(self, listener: int, desk: Desk) -> None:
        reader = Reader()
        audit, simple = self._audit, self._simple
        tally = self._calls is not None and self._calls.trace
        through = frozenset() if self._calls is None else self._calls.through
        decided = False
        while True:
            try:
                ident, pid, _, nr, arch, _, *args = desk.receive(listener)
            except OSError as exc:
                if exc.errno == errno.ENOENT and _hung_up(listener):
                    return
                if exc.errno in (errno.ENOENT, errno.EINTR):
                    continue
                raise
            if not decided:
                with self._undecided:
                    decided = True
            note = Notification(ident, pid, nr, arch, tuple(args))
            if arch != audit or nr not in simple:
                if self._first(listener, note, reader, desk):
                    continue
            elif tally:
                simple[nr] += 1
                if nr in through:
                    notify.proceed(listener, ident)
                    continue
            self._slow(listener, note, reader, desk)

    def _first(self, listener: int, note: Notification, reader: Reader, desk: Desk) -> bool:
        """A call that the pod's lists may be about, or of a foreign ABI: then as its native one.
        False: a native one that nothing is wrong with so far."""
        if self._calls is not None and self._calls.take(listener, note):
            return True
        if note.arch == self._audit and note.nr in self._names:
            return False
        names = abis.names_of(note.arch, note.nr)
        if not names:
            notify.refuse(listener, note.id, errno.ENOSYS)
            return True
        number = syscalls.number(names[0])
        self._slow(listener, note._replace(nr=number, arch=self._audit), reader, desk)
        return True

    def _slow(self, listener: int, note: Notification, reader: Reader, desk: Desk) -> None:
        name = self._names.get(note.nr, "")
        if name == "connect":
            if self._connects(listener, note):
                desk.believe()
            return
        if name not in CALLS:
            notify.proceed(listener, note.id)
            return
        lacking: list[Want] = []
        try:
            lacking = wants(self.live, reader, name, note, self._arch)
        except (OSError, ValueError):
            pass  # gone, or not readable for us: the kernel decides
        except Exception:
            traceback.print_exc()  # the portal's log; the thread goes on, and so does the call
        else:
            if not lacking:
                desk.believe()
        if lacking and notify.valid(listener, note.id):
            self._lacking(Held(listener, note.id, note.pid, lacking))
            return
        drop(lacking)
        notify.proceed(listener, note.id)


def _hung_up(listener: int) -> bool:
    events = select.poll()
    events.register(listener, 0)
    return any(event & select.POLLHUP for _, event in events.poll(0))
