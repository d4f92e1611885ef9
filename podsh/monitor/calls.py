"""Calls that a pod's lists refuse, told once each; and the count of all calls of a traced pod.

A listener's thread brings what its filter sent. By number and arguments, as the kernel holds them,
a call is refused, or goes on to the kernel; the pod's memory decides nothing here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import time
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any

from podsh.kernel import abis, notify, syscalls, uapi, whitelist
from podsh.kernel.pathcalls import CALLS
from podsh.kernel.raw import system_call
from podsh.kernel.refusals import Compare, refusals
from podsh.monitor import caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.filtering import Filter
    from podsh.kernel.notify import Notification
    from podsh.kernel.refusals import Rule
    from podsh.kernel.seccomp import FilterSpec

# each call is told once; the end of a process every time, but for a pod that makes a habit of it
MAX_KILLS_TOLD = 100
# for SIGSYS to end a process that neither blocks nor catches it
END_MS = 50
MAX_WORDS, MAX_WORD = 8, 100
_ERRNO = 0x00050000  # SECCOMP_RET_ERRNO, <linux/seccomp.h>


class Calls:
    """One pod's. ``tell`` takes events, in any thread."""

    def __init__(
        self, asked: Filter, spec: FilterSpec, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self.trace = spec.trace
        self.counts: dict[str, int] = {}
        self._asked = asked
        self._spec = spec
        self._tell = tell
        self._told: set[tuple[str, str]] = set()
        self._kills = 0
        self._lock = allocate_lock()  # of the two above
        self._arch = syscalls.native()
        numbers = syscalls.NAMES.get(self._arch, {})
        # a trace lets the filter refuse nothing, so that all is counted: refused here instead
        self._rules: dict[str, list[Rule]] = {}
        if self.trace:
            for rule in refusals(spec):
                self._rules.setdefault(rule.call, []).append(rule)
        # native calls that ``take`` need not see: by number, and counted here in a trace
        self.simple = {
            number: 0
            for name, number in numbers.items()
            if name not in self._rules
            and not whitelist.outside(name, spec)
            and not (self.trace and name in CALLS and CALLS[name].may_be_empty)
        }
        # of these, those that a trace sends here and nobody else is interested in
        self.through = frozenset(
            number
            for name, number in numbers.items()
            if self.trace and number in self.simple and name not in CALLS
        )

    def total(self) -> dict[str, int]:
        """How often each call was made, by name."""
        found = dict(self.counts)
        for name, number in syscalls.NAMES[self._arch].items():
            if count := self.simple.get(number, 0):
                found[name] = found.get(name, 0) + count
        return found

    def take(self, listener: int, note: Notification) -> bool:
        """Answer a call, or count it and leave it to who comes next (False)."""
        names = abis.names_of(note.arch, note.nr)
        if not names:
            notify.refuse(listener, note.id, errno.ENOSYS)
            return True
        if self.trace:
            return self._counted(listener, note, names)
        for name in names:
            if whitelist.outside(name, self._spec):
                self._outside(listener, note, name)
                return True
        return False

    # -- tracing

    def _counted(self, listener: int, note: Notification, names: tuple[str, ...]) -> bool:
        counts = self.counts
        for name in names:
            counts[name] = counts.get(name, 0) + 1
        for name in names:
            for rule in self._rules.get(name, ()):
                if holds(rule, note.args):
                    notify.refuse(listener, note.id, rule.action ^ _ERRNO)
                    return True
        entry = CALLS.get(names[0])
        if entry is not None and not (
            entry.may_be_empty and note.args[entry.flags or 0] & uapi.AT_EMPTY_PATH
        ):
            return False
        notify.proceed(listener, note.id)
        return True

    # -- lists

    def _outside(self, listener: int, note: Notification, name: str) -> None:
        if not whitelist.kills(name, self._spec):
            notify.refuse(listener, note.id, errno.ENOSYS)
            self._say(note, name, "refused")
            return
        # told first: the portal has it before it hears of the end
        self._say(note, name, "killed")
        end(listener, note)

    def _say(self, note: Notification, name: str, verdict: str) -> None:
        with self._lock:
            if verdict == "killed" and self._kills < MAX_KILLS_TOLD:
                self._kills += 1
            elif (name, verdict) in self._told:
                return
            self._told.add((name, verdict))
        words = [word[:MAX_WORD] for word in caller.argv(note.pid)[:MAX_WORDS]]
        self._tell(
            {
                "ev": "call",
                "ts": time.time(),
                "verdict": verdict,
                "call": name,
                "nr": note.nr,
                "abi": abis.abi_of(note.arch, note.nr),
                "pid": note.pid,
                "argv": words,
                "rule": self.allowing(name),
            }
        )

    def allowing(self, name: str) -> str:
        """What would have to be written where, for the call to be allowed."""
        asked = self._asked
        if name in asked.deny:
            return f"take {name} out of {asked.where}"
        pod = asked.form == "pod"
        if name in asked.block:
            line = f"seccomp_block {name}" if pod else f"{name} from [seccomp] block"
            return f"take {line} out of {asked.where}" if pod else f"take {line} in {asked.where}"
        line = f"seccomp_allow {name}" if pod else f'"{name}" in [seccomp] allow'
        return f"{line}, in {asked.where}" if pod else f"{line} of {asked.where}"


def holds(rule: Rule, args: tuple[int, ...]) -> bool:
    """Whether a rule is met by a call's arguments, as the filter would find."""
    for test in rule.tests:
        value = args[test.argument]
        if isinstance(test, Compare):
            if value & test.mask != test.value:
                return False
        elif value == test.value:
            return False
    return True


def end(listener: int, note: Notification) -> None:
    """End the process of a held call: by SIGSYS, as the kernel would, or for certain.

    The call itself never happens. It is answered where the signal cannot but end its thread.
    """
    who = caller.process(note.pid)
    try:
        pidfd = os.pidfd_open(who.pid) if who is not None else -1
    except OSError:
        pidfd = -1  # gone meanwhile
    try:
        # still held: the process that was looked at is the one that called
        if who is None or pidfd < 0 or not notify.valid(listener, note.id):
            notify.refuse(listener, note.id, errno.ENOSYS)
            return
        if not _minds(note.pid, signal.SIGSYS):
            _tgkill(who.pid, note.pid, signal.SIGSYS)
            notify.refuse(listener, note.id, errno.ENOSYS)
            events = select.poll()
            events.register(pidfd, select.POLLIN)
            if events.poll(END_MS):
                return
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        notify.refuse(listener, note.id, errno.ENOSYS)  # gone; in any case the call is not made
    finally:
        if pidfd >= 0:
            os.close(pidfd)


_tgkill = system_call("tgkill", ctypes.c_int, ctypes.c_int, ctypes.c_int)


def _minds(tid: int, signo: int) -> bool:
    """Whether a thread blocks, ignores or catches a signal."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return True
    found = 0
    for line in lines:
        name, _, value = line.partition(b":")
        if name in (b"SigBlk", b"SigIgn", b"SigCgt"):
            found |= int(value, 16)
    return bool(found >> signo - 1 & 1)
