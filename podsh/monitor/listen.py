"""The request channel: a thread per listener answers what is there, and passes on what is lacking.

Every held call goes on in the end, and the kernel decides; only what is mounted before that may
differ. So what is read of a program's memory is never a verdict.
"""

from __future__ import annotations

import _thread
import errno
import fcntl
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

from podsh.jail.wants import drop, wants
from podsh.kernel import abis, notify, syscalls
from podsh.kernel.memory import Reader
from podsh.kernel.notify import Notification
from podsh.kernel.pathcalls import CALLS, O_CREAT, O_TMPFILE_BIT, O_TRUNC, W_OK, Act

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.jail.live import Live
    from podsh.jail.wants import Want
    from podsh.monitor.calls import Calls

# the thread goes on at once when a call comes, whatever the loop is doing
SWITCH_S = 1e-5
# names that are known to be there: then only their text is read
_KNOWN_MAX = 8192
# how long a call that lacked nothing to be had is believed to lack nothing still
_BELIEVED_S = 1.0
_STACK_BYTES = 256 << 10
_WRITES = {
    Act.OPEN: 3 | O_CREAT | O_TRUNC | O_TMPFILE_BIT,
    Act.MODE: W_OK,
    Act.READ: 0,
}


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
        return notify.refuse(self._listener, self.id, _ERESTARTSYS)

    def alive(self) -> bool:
        """Whether its caller still waits."""
        return notify.valid(self._listener, self.id)


# linux/errno.h: the kernel makes it EINTR, or calls again
_ERESTARTSYS = 512


_LOOKS = frozenset((Act.OPEN, Act.MODE, Act.READ, Act.EXECUTE))


def _quick() -> dict[int, tuple[int, int]]:
    """Calls that only look, by number: (argument of the path, mask of an argument's bits by which
    they write), the argument's index above the mask."""
    found = {}
    for name, number in syscalls.NAMES.get(syscalls.native(), {}).items():
        call = CALLS.get(name)
        if call is None or len(call.names) > 1:
            continue
        spot = call.names[0]
        if spot.act in _WRITES:
            by = 0 if spot.by is None else spot.by
            found[number] = (spot.path, _WRITES[spot.act] << 8 | by)
    return found


# made once, before the monitors are forked
_NAMES = {number: name for name, number in syscalls.NAMES.get(syscalls.native(), {}).items()}
_QUICK = _quick()
_SIMPLE = dict.fromkeys(_NAMES, 0)


class Listeners:
    """All listeners of one pod. ``lacking`` is called in a thread, with what a call lacks."""

    def __init__(
        self,
        live: Live,
        lacking: Callable[[Held], None],
        others: Callable[[int, Notification], bool],
        steady: tuple[str, ...] = (),
        calls: Calls | None = None,
    ) -> None:
        """others: for calls without a path of their own, True if it took the call.

        steady: paths below which nothing changes for the pod but by a grant: what was once seen
        there is there. calls: of a pod with lists of calls, or one that is traced.
        """
        self.live = live
        self.count = 0  # calls that came
        self.served: set[int] = set()  # listeners, each by a thread
        self._lacking = lacking
        self._others = others
        self._exact = frozenset(os.fsencode(path) for path in steady)
        self._steady = tuple(path + b"/" for path in self._exact)
        self._known: set[bytes] = set()
        self._vain: dict[tuple[Any, ...], float] = {}
        self._arch = syscalls.native()
        self._names = _NAMES
        self._quick = _QUICK
        self._calls = calls
        self._simple = _SIMPLE if calls is None else calls.simple
        self._audit = syscalls.AUDIT_ARCH.get(self._arch, 0)

    def listen(self, listener: int, ended: Callable[[], None]) -> None:
        """Serve ``listener``, which is ours now, until nobody is left under its filter."""
        sys.setswitchinterval(SWITCH_S)
        notify.sync_wake_up(listener)
        # not threading's: what that does after a fork costs each monitor 0.4 MiB
        _thread.stack_size(_STACK_BYTES)
        self.served.add(listener)
        _thread.start_new_thread(self._serve, (listener, ended))

    def forget(self) -> None:
        """Something was taken away: nothing is known to be there any more."""
        self._known.clear()
        self._vain.clear()

    def _serve(self, listener: int, ended: Callable[[], None]) -> None:
        try:
            self._loop(listener)
        finally:
            self.served.discard(listener)
            # calls that are still held keep the number: it is closed with the monitor
            ended()

    def _loop(self, listener: int) -> None:
        reader = Reader()
        buffer = bytearray(notify.NOTIF.size)
        empty = bytes(notify.NOTIF.size)
        answer = bytearray(notify.RESP.size)
        ioctl: Callable[..., Any] = fcntl.ioctl
        unpack, pack_into = notify.NOTIF.unpack, notify.RESP.pack_into
        receive, send, go_on = notify.RECV, notify.SEND, notify.FLAG_CONTINUE
        quick, known, audit = self._quick.get, self._known, self._audit
        read, shows, lexists, steady = reader.path, self.live.shows, os.path.lexists, self._steady
        simple, tally = self._simple, self._calls is not None and self._calls.trace
        through = frozenset() if self._calls is None else self._calls.through
        while True:
            buffer[:] = empty  # as the kernel wants it
            try:
                ioctl(listener, receive, buffer)
            except OSError as exc:
                if exc.errno == errno.ENOENT and _hung_up(listener):
                    return
                if exc.errno in (errno.ENOENT, errno.EINTR):
                    continue
                raise
            ident, pid, _, nr, arch, _, *args = unpack(buffer)
            self.count += 1
            goes_on = False
            if arch != audit or nr not in simple:
                note = Notification(ident, pid, nr, arch, tuple(args))
                if self._first(listener, note, reader):
                    continue
            elif tally:
                simple[nr] += 1
                goes_on = nr in through
            found = quick(nr)
            if found is not None:
                at, by = found
                if not args[by & 0xFF] & by >> 8:
                    try:
                        path = read(pid, args[at])
                    except OSError:
                        path = None
                    goes_on = path is not None and (
                        path in known
                        or (path[:1] == b"/" and shows(path) and self._note(path))
                        or (path.startswith(steady) and not lexists(path))
                    )
            if goes_on:
                pack_into(answer, 0, ident, 0, 0, go_on)
                try:
                    ioctl(listener, send, answer)
                except OSError as exc:
                    if exc.errno != errno.ENOENT:
                        raise
                continue
            self._slow(listener, Notification(ident, pid, nr, arch, tuple(args)), reader)

    def _note(self, path: bytes) -> bool:
        """Remember a path that is there and stays there."""
        if (path.startswith(self._steady) and b"/.." not in path) or path in self._exact:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known.add(path)
        return True

    def _first(self, listener: int, note: Notification, reader: Reader) -> bool:
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
        self._slow(listener, note._replace(nr=number, arch=self._audit), reader)
        return True

    def _slow(self, listener: int, note: Notification, reader: Reader) -> None:
        name = self._names.get(note.nr, "")
        if name not in CALLS or name == "connect":
            if not self._others(listener, note):
                notify.proceed(listener, note.id)
            return
        lacking: list[Want] = []
        key: tuple[Any, ...] | None = None
        try:
            key = self._key(name, note, reader)
            if key is not None and self._vain.get(key, 0) > time.monotonic():
                notify.proceed(listener, note.id)
                return
            lacking = wants(self.live, reader, name, note, self._arch)
        except (OSError, ValueError):
            pass  # gone, or not readable for us: the kernel decides
        if lacking and notify.valid(listener, note.id):
            self._lacking(Held(listener, note.id, note.pid, lacking))
            return
        if key is not None and not lacking:
            if len(self._vain) >= _KNOWN_MAX:
                self._vain.clear()
            self._vain[key] = time.monotonic() + _BELIEVED_S
        drop(lacking)
        notify.proceed(listener, note.id)

    def _key(self, name: str, note: Notification, reader: Reader) -> tuple[Any, ...] | None:
        """What a call that looks or executes comes down to, the same for every process: the
        loader's and libc's own of each program in turn. None for others."""
        entry = CALLS[name]
        spot = entry.names[0]
        if len(entry.names) > 1 or spot.act not in _LOOKS or self.live.nested:
            return None
        path = reader.path(note.pid, note.args[spot.path])
        if not path or path[:1] != b"/" or path.startswith(b"/proc/"):
            return None
        by = note.args[spot.by] if spot.by is not None else 0
        return note.nr, path, by, note.args[entry.flags] if entry.flags is not None else 0


def _hung_up(listener: int) -> bool:
    events = select.poll()
    events.register(listener, 0)
    return any(event & select.POLLHUP for _, event in events.poll(0))
